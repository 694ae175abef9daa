package fsx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked tells that another process holds a lock. Errors of [Lock] that
// wrap it name the process.
var ErrLocked = errors.New("held by another process")

// FileLock is a held lock. It is released by [FileLock.Close] and by the end
// of the process, however that comes.
type FileLock struct{ f *os.File }

// Lock takes the lock at path without waiting, and writes this process's id
// into the file. It fails with an error that wraps [ErrLocked] when somebody
// else holds it.
func Lock(path string) (*FileLock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of lock %s: %w", path, err)
	}
	for {
		lock, err := tryLock(path)
		if lock != nil || err != nil {
			return lock, err
		}
	}
}

// tryLock returns neither a lock nor an error when the file was removed in
// between, see [FileLock.Remove].
func tryLock(path string) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w (%s)", path, ErrLocked, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !sameFile(f, path) {
		return nil, f.Close()
	}
	// The id is for people only, so a full disk must not cost us the lock.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &FileLock{f: f}, nil
}

func sameFile(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(held, named)
}

func holder(f *os.File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	if pid := strings.TrimSpace(string(buf[:n])); pid != "" {
		return "pid " + pid
	}
	return "pid unknown"
}

// Close releases the lock. The file stays.
func (l *FileLock) Close() error { return l.f.Close() }

// Remove removes the file and releases the lock. Whoever has opened the file
// meanwhile finds out and makes a new one.
func (l *FileLock) Remove() error {
	return errors.Join(os.Remove(l.f.Name()), l.f.Close())
}
