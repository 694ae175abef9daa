// Command gotest runs go test with its arguments and prints what go test prints
// without -v: the output of tests that failed and one line for each package. In
// CI (CI=true) a skipped test is a failure, because it would hide that something
// is missing on the machine; its reason is printed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is one line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
}

func main() {
	strict := os.Getenv("CI") == "true"
	if err := run(os.Args[1:], strict, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "gotest: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, strict bool, w io.Writer) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	skips, err := report(out, w)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	for _, s := range skips {
		fmt.Fprintf(w, "skipped: %s\n", s)
	}
	if strict && len(skips) > 0 {
		return fmt.Errorf("%d tests were skipped, which counts as a failure in CI", len(skips))
	}
	return nil
}

// report prints the events and returns the skipped tests with their reasons.
func report(events io.Reader, w io.Writer) (skips []string, err error) {
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
		case e.Action == "fail":
			fmt.Fprint(w, strings.Join(held[key], ""))
			delete(held, key)
		case e.Action == "skip" && e.Test != "":
			skips = append(skips, key+": "+reason(held[key]))
			delete(held, key)
		case e.Action == "pass":
			delete(held, key)
		}
	}
	return skips, lines.Err()
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
