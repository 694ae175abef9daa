package main

import (
	"fmt"
	"strings"
)

// The exit codes of kedge's own commands. Embedded programs keep theirs.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotRunning  = 3
	exitInterrupted = 130
)

// exitMeanings is the reference's table, in the order of the codes.
var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitOK, "Done; a daemon that was told to stop has stopped in order. For `kedge status`: every component is ready."},
	{exitFailure, "The work failed; the reason is on standard error. For `kedge status`: the daemon runs but is not ready; for `kedge check` and `kedge doctor`: there is an error among the findings; for `kedge cert check`: a certificate has ended or ends soon; for `kedge bandwidth plan --check`: the kernel differs from the plan."},
	{exitUsage, "The command line, an environment variable or a configuration file is wrong; nothing was started or changed."},
	{exitNotRunning, "No daemon runs on this data directory."},
	{exitInterrupted, "Interrupted: a command ended by Ctrl-C, or a daemon by a second signal before it had stopped in order."},
}

// exitCodesPage is docs/reference/exit-codes.md.
func exitCodesPage() string {
	var b strings.Builder
	b.WriteString("# Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range exitMeanings {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.meaning)
	}
	b.WriteString("\n`kedge kubectl`, `kedge crictl` and `kedge ctr` keep the exit codes of the programs that they embed.\n")
	return b.String()
}

// codedError is an error with the exit code that it should end the process
// with. A nil err means that everything was already said.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// exitWith makes the process end with code after printing err, if any.
func exitWith(code int, err error) error { return &codedError{code: code, err: err} }

// usageError is for what the user typed or configured wrongly.
func usageError(err error) error { return exitWith(exitUsage, err) }
