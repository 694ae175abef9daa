package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
)

// lockForReset takes the data directory. A daemon that still runs on it is
// stopped, unless systemd keeps it: it would only be started again.
func lockForReset(ctx context.Context, layout paths.Layout) (*fsx.FileLock, error) {
	lock, err := fsx.Lock(layout.ProcessLock())
	if !errors.Is(err, fsx.ErrLocked) {
		return lock, err
	}
	if err := stopHolder(ctx, layout); err != nil {
		return nil, err
	}
	lock, err = fsx.Lock(layout.ProcessLock())
	if errors.Is(err, fsx.ErrLocked) {
		return nil, fmt.Errorf("kedge was started again on %s: %w; stop what starts it and reset again", layout.DataDir, err)
	}
	return lock, err
}

// stopHolder ends the process that holds the data directory's lock.
func stopHolder(ctx context.Context, layout paths.Layout) error {
	pid, err := holderOf(layout.ProcessLock())
	if err != nil {
		return fmt.Errorf("kedge still runs on %s and cannot be found (%w): stop it and reset again", layout.DataDir, err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop kedge (pid %d): %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// Now the number cannot go to another process any more; it must still be
	// the holder's.
	if again, err := holderOf(layout.ProcessLock()); err != nil || again != pid {
		return fmt.Errorf("kedge on %s is being restarted: stop what starts it and reset again", layout.DataDir)
	}
	if unit := unitOf(pid); unit != "" {
		return fmt.Errorf("kedge still runs on %s (pid %d): stop it first: systemctl disable --now %s", layout.DataDir, pid, unit)
	}
	if err := endProcess(ctx, fd); err != nil {
		return fmt.Errorf("stop kedge (pid %d): %w", pid, err)
	}
	return nil
}

// holderOf reads the process id that [fsx.Lock] left in a lock's file.
func holderOf(lock string) (int, error) {
	data, err := os.ReadFile(lock)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s holds no process id", lock)
	}
	return pid, nil
}

// serviceCgroup finds a unit of ours only: a daemon that somebody started by
// hand may well live in the cgroup of ssh.service.
var serviceCgroup = regexp.MustCompile(`(?m)^(?:0:|\d+:name=systemd):.*/(kedge[^/\n]*\.service)(?:/|$)`)

// unitOf is the kedge service of systemd that a process belongs to, or empty.
func unitOf(pid int) string {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	return unitIn(string(data))
}

func unitIn(cgroups string) string {
	m := serviceCgroup.FindStringSubmatch(cgroups)
	if m == nil {
		return ""
	}
	return m[1]
}

// endProcess asks the process to stop, and ends it when it takes longer than
// its own limit. All that it could lose is to be removed anyway.
func endProcess(ctx context.Context, pidfd int) error {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(pidfd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, stopTimeout+5*time.Second)
		err := awaitEnd(limited, pidfd)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return errors.New("it does not end even when killed")
}

// awaitEnd waits until the process is gone (pidfd_open(2)) or ctx ends.
func awaitEnd(ctx context.Context, pidfd int) error {
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}} //nolint:gosec // a descriptor is small
		n, err := unix.Poll(fds, 100)
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
