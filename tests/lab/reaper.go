package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// lifeline is the pipe whose write end only the owner holds. Reading from the other end returns
// when the owner is gone.
type lifeline struct {
	read, write *os.File
}

func newLifeline() (lifeline, error) {
	r, w, err := os.Pipe()
	return lifeline{r, w}, err
}

// reaper is the owner's handle of the child that cleans up.
type reaper struct {
	cmd    *exec.Cmd
	output bytes.Buffer
}

// startReaper starts the child that removes the run when the lifeline ends. It has a session of
// its own, so an interrupt at the terminal does not reach it.
func startReaper(run string, l lifeline) (*reaper, error) {
	r := &reaper{cmd: self(verbReap, run)}
	r.cmd.Stdin = l.read
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return r, nil
}

// wait returns what the reaper could not remove. The lifeline must have been cut.
func (r *reaper) wait(patience time.Duration) error {
	timer := time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("clean up: %w: %s", err, strings.TrimSpace(r.output.String()))
	}
	return nil
}

// reaperMain is the child: wait for the owner's end, then remove everything.
func reaperMain(run string) error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return removeRun(run)
}
