// Command gotest runs go test with its arguments and prints what go test prints
// without -v: the output of tests that failed and one line for each package, and
// at the end how many tests passed, failed and were skipped. In CI (CI=true) a
// skipped test is a failure, because it would hide that something is missing on
// the machine; its reason is printed.
//
// It does not run go vet: make lint does, and go test would do it again for all
// of Kubernetes. With KEDGE_TEST_COUNTS=FILE the counts are added to FILE, and
// to FILE.failed what the tests that failed said last, so that it can be read
// without the logs of all their programs.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// event is one line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// result is what a run of go test came to. Subtests count as tests.
type result struct {
	passed, failed int
	skips          []string // the skipped tests with their reasons
	failures       []string // the failed tests with what they said last
}

// String is the last line of a run.
func (r result) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.passed, r.failed, len(r.skips))
}

func main() {
	strict := os.Getenv("CI") == "true"
	if err := run(os.Args[1:], strict, os.Getenv("KEDGE_TEST_COUNTS"), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "gotest: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, strict bool, counts string, w io.Writer) error {
	cmd := exec.Command("go", append([]string{"test", "-json", "-vet=off"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r, err := report(out, w)
	if err != nil {
		// Nobody reads its output any more.
		_ = cmd.Process.Kill()
	}
	err = errors.Join(err, cmd.Wait())
	for _, s := range r.skips {
		fmt.Fprintf(w, "skipped: %s\n", s)
	}
	fmt.Fprintln(w, r)
	if counts != "" {
		err = errors.Join(err, record(counts, r))
	}
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	if strict && len(r.skips) > 0 {
		return fmt.Errorf("%d tests were skipped, which counts as a failure in CI", len(r.skips))
	}
	return nil
}

// record adds a line "PASSED FAILED SKIPPED" to the file, and failures to the one beside it.
func record(file string, r result) error {
	return errors.Join(
		add(file, fmt.Sprintln(r.passed, r.failed, len(r.skips))),
		add(file+".failed", strings.Join(r.failures, "")))
}

func add(file, text string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// report prints the events and counts.
func report(events io.Reader, w io.Writer) (r result, err error) {
	held := map[string][]string{} // output of tests that may still pass
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(w, lines.Text()) // go's own words, for example of a failed build
			continue
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "":
			if e.Output != "PASS\n" {
				fmt.Fprint(w, e.Output)
			}
		case e.Action == "output":
			held[key] = append(held[key], e.Output)
		case e.Test == "":
		case e.Action == "fail":
			r.failed++
			r.failures = append(r.failures, key+"\n"+said(held[key]))
			fmt.Fprint(w, strings.Join(held[key], ""))
			delete(held, key)
		case e.Action == "skip":
			r.skips = append(r.skips, key+": "+reason(held[key]))
			delete(held, key)
		case e.Action == "pass":
			r.passed++
			delete(held, key)
		}
	}
	return r, lines.Err()
}

// reason keeps what a skipped test said itself.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// fromTest begins what a test itself says.
var fromTest = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)

// said is the last of what a failed test said, a line each.
func said(output []string) string {
	const lines, length = 8, 400
	var all []string
	for _, line := range output {
		if fromTest.MatchString(line) {
			line = strings.TrimRight(line, "\n")
			all = append(all, line[:min(len(line), length)]+"\n")
		}
	}
	return strings.Join(all[max(0, len(all)-lines):], "")
}
