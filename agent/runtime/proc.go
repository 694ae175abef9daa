package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// selfExe runs the program of the running process, also after its file was
// replaced by an upgrade.
const selfExe = "/proc/self/exe"

// procFS reads processes below the mount point of a proc file system.
type procFS string

// hostProc is the real one.
const hostProc = procFS("/proc")

// procStat is the part of /proc/PID/stat (proc_pid_stat(5)) that identifies a
// process.
type procStat struct {
	PPID  int
	State byte
	// Start is in clock ticks since boot; with the pid it is unique per boot.
	Start uint64
}

func (p procFS) path(pid int, name string) string {
	return filepath.Join(string(p), strconv.Itoa(pid), name)
}

// pids lists all processes.
func (p procFS) pids() ([]int, error) {
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			out = append(out, pid)
		}
	}
	return out, nil
}

func (p procFS) stat(pid int) (procStat, error) {
	data, err := os.ReadFile(p.path(pid, "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

// parseStat starts after the last closing bracket: the program's name before
// it may contain blanks and brackets.
func parseStat(line string) (procStat, error) {
	i := strings.LastIndexByte(line, ')')
	f := strings.Fields(line[i+1:])
	const startField = 19 // field 22 of the line, state being field 3
	if i < 0 || len(f) <= startField {
		return procStat{}, fmt.Errorf("parse process status %q: too few fields", line)
	}
	ppid, err := strconv.Atoi(f[1])
	if err != nil {
		return procStat{}, fmt.Errorf("parse parent in process status %q: %w", line, err)
	}
	start, err := strconv.ParseUint(f[startField], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("parse start time in process status %q: %w", line, err)
	}
	return procStat{PPID: ppid, State: f[0][0], Start: start}, nil
}

// cmdline returns the arguments of a process, its own name first.
func (p procFS) cmdline(pid int) []string {
	data, err := os.ReadFile(p.path(pid, "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(data, []byte{0})), "\x00")
}

// exe returns the path of the program; the kernel's mark of a removed file is
// cut off.
func (p procFS) exe(pid int) string {
	target, err := os.Readlink(p.path(pid, "exe"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(target, " (deleted)")
}

// mountNS names the mount namespace of a process; "" when it cannot be read.
func (p procFS) mountNS(pid string) string {
	ns, err := os.Readlink(filepath.Join(string(p), pid, "ns", "mnt"))
	if err != nil {
		return ""
	}
	return ns
}

// cgroups returns the cgroup of a process per hierarchy: controller list ("" on
// the unified one, "name=x" on named ones) to path (cgroups(7)).
func (p procFS) cgroups(pid int) map[string]string {
	data, err := os.ReadFile(p.path(pid, "cgroup"))
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 {
			out[f[1]] = f[2]
		}
	}
	return out
}

// bootID distinguishes boots; start times are meaningful only within one.
func (p procFS) bootID() string {
	data, err := os.ReadFile(filepath.Join(string(p), "sys/kernel/random/boot_id"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// fileID names the file behind path (links followed) by device and inode. A
// running program keeps its inode taken, so no other program has the same.
func fileID(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("stat %s: no inode", path)
	}
	return fmt.Sprintf("%d:%d", sys.Dev, sys.Ino), nil
}

// process is a hold on a running process: its pidfd cannot come to mean
// another one.
type process struct {
	pid int
	fd  *os.File
}

// errGone says that a process is not there, or no longer the one meant.
var errGone = errors.New("process has ended")

// hold opens pid and checks afterwards that it still started at start.
func hold(p procFS, pid int, start uint64) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
			return nil, errGone
		}
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	proc := &process{pid: pid, fd: os.NewFile(uintptr(fd), "pidfd")}
	st, err := p.stat(pid)
	if err != nil || st.Start != start || st.State == 'Z' || st.State == 'X' {
		proc.close()
		return nil, errGone
	}
	return proc, nil
}

func (p *process) close() { _ = p.fd.Close() }

func (p *process) signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(int(p.fd.Fd()), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// wait blocks until the process has ended (nil) or ctx has.
func (p *process) wait(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.pid, err)
	}
	defer func() { _ = r.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	defer func() {
		if stop() {
			_ = w.Close()
		}
	}()
	fds := []unix.PollFd{{Fd: int32(p.fd.Fd()), Events: unix.POLLIN}, {Fd: int32(r.Fd())}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", p.pid, err)
		case fds[0].Revents != 0:
			return nil
		default:
			return context.Cause(ctx)
		}
	}
}

// end asks the process to stop and kills it after grace.
func (p *process) end(ctx context.Context, grace time.Duration) error {
	if err := p.signal(unix.SIGTERM); err != nil {
		return fmt.Errorf("stop process %d: %w", p.pid, err)
	}
	waiting, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.wait(waiting) == nil {
		return nil
	}
	if err := p.signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	return p.wait(ctx)
}

// exists tells whether something is at path, a dangling link included.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
