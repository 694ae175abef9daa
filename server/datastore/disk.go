package datastore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// minFreeStart is needed to start: schema changes and a first log.
	minFreeStart = 32 << 20
	// minFreeRun is where a running datastore stops compacting (which writes
	// before it frees) and reports.
	minFreeRun = 16 << 20
)

// prepareDir makes dir with mode 0700 and proves that it takes writes.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return unwritable(dir, err)
	}
	return probeWrite(dir)
}

func probeWrite(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return unwritable(dir, err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, werr := f.Write(make([]byte, 64<<10))
	if werr == nil {
		werr = f.Sync()
	}
	if werr = errors.Join(werr, f.Close()); werr != nil {
		return unwritable(dir, werr)
	}
	if free, ferr := FreeBytes(dir); ferr == nil && free < minFreeStart {
		return fmt.Errorf("datastore folder %s: %d MiB free, at least %d MiB needed: free some space or choose another --data-dir", dir, free>>20, int64(minFreeStart)>>20)
	}
	return nil
}

func unwritable(dir string, err error) error {
	remedy := "check its owner and mode"
	switch {
	case errors.Is(err, unix.EROFS):
		remedy = "its file system is mounted read-only: remount it or choose another --data-dir"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		remedy = "its file system is full: free some space or choose another --data-dir"
	}
	return fmt.Errorf("datastore folder %s cannot be written: %w; %s", dir, err, remedy)
}

// FreeBytes is what an unprivileged writer may still use at path.
func FreeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// touch creates an empty file that survives a power cut.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("mark database as in use: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("mark database as in use: %w", err)
	}
	return syncParent(path)
}

func syncParent(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
