package crictl

import (
	"errors"
	"fmt"
	"os"
)

// ErrNotGenerated is returned by [Run] in a program that was built without the
// generated sources.
var ErrNotGenerated = errors.New("this binary was built without crictl; run make generate, then build again")

// entry is set by the generated sources.
var entry func(arguments []string) error

// Run runs crictl once in this process; args are its arguments without the
// program's name. Some of crictl's own failures (an unreadable config file)
// end the process, as they do in the original.
func Run(args []string) error {
	if entry == nil {
		return ErrNotGenerated
	}
	return entry(append([]string{"crictl"}, args...))
}

// Main is [Run] for a command: it prints the error and returns the exit code,
// 0 or 1.
func Main(args []string) int {
	if err := Run(args); err != nil {
		fmt.Fprintf(os.Stderr, "crictl: %v\n", err)
		return 1
	}
	return 0
}
