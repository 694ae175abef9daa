package errors

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// clockVerb as the first argument makes this program run the rest of the arguments with a clock
// that stands at the second of January 1970.
const clockVerb = "kedge-clock-1970"

// From linux/auxvec.h.
const (
	auxNull   = 0
	auxIgnore = 1
	auxVDSO   = 33
)

func clockMain() (code int, done bool) {
	if len(os.Args) < 3 || os.Args[1] != clockVerb {
		return 0, false
	}
	code, err := runIn1970(os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, clockVerb+":", err)
		return 125, true
	}
	return code, true
}

// runIn1970 traces a program. Reading the clock normally enters no kernel, so the program must not
// find the vDSO; then each clock_gettime of the wall clock is a system call whose answer is replaced.
func runIn1970(argv []string) (code int, err error) {
	runtime.LockOSThread() // ptrace belongs to a thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return 0, fmt.Errorf("wait for the exec: %w", err)
	}
	if err := hideVDSO(pid); err != nil {
		return 0, err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		return 0, fmt.Errorf("set options: %w", err)
	}
	if err := unix.PtraceSyscall(pid, 0); err != nil {
		return 0, err
	}
	return follow(pid)
}

// follow handles the stops of all threads until the program has ended.
func follow(pid int) (code int, err error) {
	inside := map[int]bool{} // threads between the entry and the exit of a system call
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("wait: %w", err)
		}
		if tid == pid && status.Exited() {
			return status.ExitStatus(), nil
		}
		if tid == pid && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		if !status.Stopped() {
			continue // another thread's end
		}
		deliver := 0
		switch signal := status.StopSignal(); {
		case signal == unix.SIGTRAP|0x80:
			if inside[tid] = !inside[tid]; !inside[tid] {
				setClock(tid)
			}
		case signal == unix.SIGTRAP, signal == unix.SIGSTOP: // a clone, or a new thread's first stop
		default:
			deliver = int(signal)
		}
		// A thread may have been killed meanwhile.
		if err := unix.PtraceSyscall(tid, deliver); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, err
		}
	}
}

// hideVDSO changes the type of the entry that tells the program where the vDSO is. On its stack
// are, from the bottom: argc, arguments, 0, environment, 0, pairs of type and value.
func hideVDSO(pid int) error {
	sp, err := stackPointer(pid)
	if err != nil {
		return err
	}
	word := func(at uintptr) uintptr {
		var b [8]byte
		if _, e := unix.PtracePeekData(pid, at, b[:]); e != nil {
			err = e
		}
		return uintptr(nativeUint64(b))
	}
	at := sp + 8*(word(sp)+2) // the environment
	for err == nil && word(at) != 0 {
		at += 8
	}
	for at += 8; err == nil; at += 16 {
		switch word(at) {
		case auxNull:
			return errors.New("there is no vDSO to hide")
		case auxVDSO:
			b := bytesOf(auxIgnore)
			_, err := unix.PtracePokeData(pid, at, b[:])
			return err
		}
	}
	return fmt.Errorf("read the stack: %w", err)
}
