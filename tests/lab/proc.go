package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unixEpoch is a deadline that has passed.
var unixEpoch = time.Unix(0, 0)

// searchPath is PATH on every host.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Proc is a program that runs on a host.
type Proc struct {
	// Name is the word its log is named after.
	Name string

	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // how it ended; valid once done is closed
}

// command prepares argv for the host. A bare program name is searched there.
func (h *Host) command(argv []string) (*exec.Cmd, int, error) {
	if len(argv) == 0 {
		return nil, 0, errors.New("no program given")
	}
	h.mu.Lock()
	init := h.init
	h.mu.Unlock()
	if init == nil {
		return nil, 0, fmt.Errorf("host %s has no power", h.Name())
	}
	path, err := h.lookPath(argv[0])
	if err != nil {
		return nil, 0, err
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Dir: "/", Env: []string{
		"PATH=" + searchPath, "HOME=" + filepath.Join(h.Dir(), "home"), "LANG=C.UTF-8",
	}}
	return cmd, init.pidfd, nil
}

func (h *Host) lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(h.Path(path)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("host %s: %s: not found in %s", h.Name(), name, searchPath)
}

func (h *Host) procsCgroup() (cgroupSet, error) {
	trees, err := hierarchies()
	return cgroupSet{trees: trees, path: h.CgroupRoot() + "/procs"}, err
}

func (h *Host) launch(cmd *exec.Cmd, pidfd int) error {
	cg, err := h.procsCgroup()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(h.Dir(), "home"), 0o700); err != nil {
		return err
	}
	if err := startIn(pidfd, cg, cmd); err != nil {
		return fmt.Errorf("host %s: start %s: %w", h.Name(), strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// Start runs argv on the host in the background. Its output is appended to the log NAME.log.
func (h *Host) Start(name string, argv ...string) (*Proc, error) {
	return h.StartEnv(name, nil, argv...)
}

// StartEnv is Start with more environment, each entry KEY=VALUE.
func (h *Host) StartEnv(name string, env []string, argv ...string) (*Proc, error) {
	cmd, pidfd, err := h.command(argv)
	if err != nil {
		return nil, err
	}
	log, err := h.openLog(name)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Fprintf(log, "---- %s start: %s\n", time.Now().UTC().Format(time.RFC3339Nano), strings.Join(argv, " "))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A session of its own, as a service manager gives it, so an interrupt at the terminal ends the
	// owner and not the programs one by one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := h.launch(cmd, pidfd); err != nil {
		return nil, err
	}
	p := &Proc{Name: name, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	h.mu.Lock()
	h.procs = append(h.procs, p)
	h.mu.Unlock()
	return p, nil
}

// Run runs argv on the host to its end and returns what it printed. err is an *exec.ExitError if
// it ended with another code than 0. When ctx ends first, it is killed.
func (h *Host) Run(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	return h.RunInput(ctx, nil, argv...)
}

// RunInput is Run with standard input.
func (h *Host) RunInput(ctx context.Context, input []byte, argv ...string) (stdout, stderr string, err error) {
	cmd, pidfd, err := h.command(argv)
	if err != nil {
		return "", "", err
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	// Children may keep the output open after the program ended; do not wait for them for ever.
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := h.launch(cmd, pidfd); err != nil {
		return "", "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	err = cmd.Wait()
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	return out.String(), errOut.String(), err
}

// RunPiped runs argv on the host to its end with its standard input and output joined to in and out,
// for a dialogue with it. When ctx ends first, it is killed.
func (h *Host) RunPiped(ctx context.Context, in io.Reader, out io.Writer, argv ...string) error {
	cmd, pidfd, err := h.command(argv)
	if err != nil {
		return err
	}
	var errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &errOut
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := h.launch(cmd, pidfd); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	err = cmd.Wait()
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		err = fmt.Errorf("host %s: %s: %w: %s", h.Name(), strings.Join(argv, " "), err, errOut.String())
	}
	return err
}

// PID is the process id as the machine sees it.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Log is the path of the log.
func (p *Proc) Log() string { return p.log }

// Done is closed when the program has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Signal sends a signal.
func (p *Proc) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill is SIGKILL to this one process, and waits for its end.
func (p *Proc) Kill() error {
	if err := p.Signal(os.Kill); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// Wait waits for the end. It returns nil for exit code 0 and an *exec.ExitError otherwise.
func (p *Proc) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s still runs: %w", p.Name, ctx.Err())
	}
}

// Stop sends SIGTERM and waits for the end.
func (p *Proc) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.Wait(ctx)
}
