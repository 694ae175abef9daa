//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inner is the name under which clock starts itself to become the program.
const inner = "clock-inner"

// The thread that is traced must be the one that calls exec, and all calls about
// it must come from one thread: both times the first one.
func init() { runtime.LockOSThread() }

func main() {
	args := os.Args //nolint:forbidigo // a program of its own
	code, err := 2, errors.New("give a shift, a program and its arguments")
	switch {
	case len(args) > 1 && args[0] == inner:
		err = become(args[1:])
	case len(args) > 2:
		code, err = run(args[1], args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clock:", err)
	}
	os.Exit(code) //nolint:forbidigo // a program of its own
}

// become hands the listener of the filter to the parent and becomes the program.
func become(args []string) error {
	listener, err := filter()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("hand over the listener: %w", err)
	}
	unix.CloseOnExec(3)
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, os.Environ()) //nolint:forbidigo // it hands its own on
}

func run(shift string, args []string) (int, error) {
	by, err := time.ParseDuration(shift)
	if err != nil {
		return 2, err
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 2, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{inner}, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(ends[1]), "listener")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 2, err
	}
	if err := hideVDSO(cmd.Process.Pid); err != nil {
		return 2, errors.Join(err, cmd.Process.Kill())
	}
	listener, err := receive(ends[0])
	if err != nil {
		return 2, errors.Join(err, cmd.Process.Kill())
	}
	go answer(listener, by)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals) //nolint:forbidigo // a program of its own
	go func() {
		for s := range signals {
			if s != syscall.SIGCHLD && s != syscall.SIGURG {
				_ = cmd.Process.Signal(s)
			}
		}
	}()
	var ended *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &ended) {
		return max(ended.ExitCode(), 1), nil
	} else if err != nil {
		return 2, err
	}
	return 0, nil
}

func receive(socket int) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), oob, 0)
	if err != nil {
		return 0, fmt.Errorf("receive the listener: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("receive the listener: %d messages, %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}
