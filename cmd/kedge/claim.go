package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/paths"
)

// firstStart is what a first start writes besides the runtime bundle: keys, the
// database with its log, containerd's own. In bytes.
const firstStart = 16 << 20

// claim is a data directory that this process has taken, and what was there
// before.
type claim struct {
	layout                        paths.Layout
	lock                          *fsx.FileLock
	hadDir, hadContent, hadRunDir bool
}

// acquire takes the data directory for this process. withNode tells that the
// runtime bundle will be unpacked there.
func (d *daemon) acquire(withNode bool) error {
	layout := d.id.layout
	c := &claim{layout: layout, hadDir: exists(layout.DataDir), hadRunDir: exists(layout.RunDir)}
	found, err := os.ReadDir(layout.DataDir)
	c.hadContent = err != nil && c.hadDir || len(found) > 0
	if err := c.checkSpace(withNode); err != nil {
		return err
	}
	if err := checkWritable(layout); err != nil {
		c.undo()
		return err
	}
	c.lock, err = lockSoon(layout.ProcessLock())
	if errors.Is(err, fsx.ErrLocked) {
		return fmt.Errorf("data directory %s is in use by a kedge that already runs: %w: stop that one, or give this one its own --data-dir", layout.DataDir, err)
	}
	if err == nil {
		err = os.MkdirAll(layout.RunDir, 0o755)
	}
	if err != nil {
		c.undo()
		return fmt.Errorf("take data directory %s: %w", layout.DataDir, err)
	}
	d.claim = c
	return nil
}

// lockPatience is how long a start waits for the lock of a process that was
// killed: its threads end one by one, and a program that it was about to start
// has the file, too, from its fork to its exec.
const lockPatience = 3 * time.Second

// lockSoon takes the lock at path, and bears [lockPatience] with somebody else
// who has it.
func lockSoon(path string) (*fsx.FileLock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	for {
		lock, err := fsx.Lock(path)
		if !errors.Is(err, fsx.ErrLocked) || !lifecycle.Pause(ctx, lockPatience/100) {
			return lock, err
		}
	}
}

// abandon takes back what a start has made that came to nothing. It leaves a
// daemon that has run alone.
func (d *daemon) abandon() {
	if d.claim != nil && !d.ran {
		d.claim.undo()
	}
}

// undo removes what this process alone has made, if it has made nothing more
// than an empty data directory. Nothing here is worth an error: the reason for
// giving up is told.
func (c *claim) undo() {
	if !c.hadRunDir {
		removeEmpty(c.layout.RunDir, true)
	}
	if !c.hadContent {
		removeEmpty(c.layout.DataDir, false)
	}
	if c.hadContent || !c.onlyOwn() {
		if c.lock != nil {
			_ = c.lock.Close()
		}
		return
	}
	_ = os.Remove(footprintFile(c.layout))
	if c.lock != nil {
		_ = c.lock.Remove()
	}
	if !c.hadDir {
		_ = unix.Rmdir(c.layout.DataDir)
	}
}

// onlyOwn tells whether the data directory holds this start's notes only.
func (c *claim) onlyOwn() bool {
	found, err := os.ReadDir(c.layout.DataDir)
	return err == nil && !slices.ContainsFunc(found, func(e fs.DirEntry) bool {
		path := filepath.Join(c.layout.DataDir, e.Name())
		return path != c.layout.ProcessLock() && path != footprintFile(c.layout)
	})
}

// removeEmpty removes the empty folders below dir, and dir itself if asked.
func removeEmpty(dir string, itself bool) {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (itself || path != dir) {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, d := range slices.Backward(dirs) {
		_ = unix.Rmdir(d)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// checkSpace refuses a first start that would fill the disk half way.
func (c *claim) checkSpace(withNode bool) error {
	var need int64
	if !c.hadContent {
		need = firstStart
	}
	if withNode {
		missing, err := bundle.Missing(c.layout.Data())
		if err != nil {
			return err
		}
		need += missing
	}
	var st unix.Statfs_t
	if err := unix.Statfs(nearest(c.layout.DataDir), &st); err != nil || st.Flags&unix.ST_RDONLY != 0 {
		return nil //nolint:nilerr // the attempt to write tells it better
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:gosec,unconvert // disks are below 8 EiB; the types differ between architectures
	if free >= need {
		return nil
	}
	return fmt.Errorf("data directory %s cannot be used: %d MiB are free on its disk, this start needs %d MiB: free some space, or give another --data-dir",
		c.layout.DataDir, free>>20, need>>20+1)
}

// nearest is dir, or the closest folder above it that exists.
func nearest(dir string) string {
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}

// checkWritable proves that the data directory takes a small file, so that a
// read-only or full disk is told at once and by its name.
func checkWritable(layout paths.Layout) error {
	probe := layout.ProcessLock() + ".probe"
	err := os.MkdirAll(layout.DataDir, 0o755)
	if err == nil {
		err = fsx.WriteFile(probe, make([]byte, 64<<10), 0o600)
	}
	if err == nil {
		return os.Remove(probe)
	}
	remedy := "check its owner and mount, or give another --data-dir"
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		remedy = "the disk is full: free some space, or give another --data-dir"
	case errors.Is(err, syscall.EROFS):
		remedy = "mount its file system writable, or give another --data-dir"
	case errors.Is(err, fs.ErrPermission):
		remedy = "the folder is not writable: " + remedy
	}
	return fmt.Errorf("data directory %s cannot be used: %w: %s", layout.DataDir, err, remedy)
}
