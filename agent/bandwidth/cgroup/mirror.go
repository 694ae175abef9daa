package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// rounds bounds how often processes are looked for that were forked while
// others were being moved. A child of a moved process is where it belongs, so
// two rounds do for anything but a fork bomb.
const rounds = 10

// mirror is a folder of ours for one container.
type mirror struct {
	h    *hierarchy
	path string
}

// gather makes the folder and moves the processes of the legacy folder there.
func (m mirror) gather(ctx context.Context, legacy string) error {
	dir := m.h.folder(m.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for range rounds {
		here := processes(dir)
		var moved int
		var errs []error
		for _, pid := range processes(legacy) {
			if slices.Contains(here, pid) {
				continue
			}
			moved++
			errs = append(errs, move(dir, pid))
		}
		if err := errors.Join(errs...); err != nil || moved == 0 || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// move puts a process with all its threads into a folder. One that ended
// meanwhile needs no place.
func move(dir string, pid int) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("move process %d to cgroup2: %w", pid, err)
	}
	return nil
}

// Keep removes the folders of containers that are not in ids, which others of
// this node have left. A folder with processes stays.
func (f *Folders) Keep(ids []string) error {
	h, err := f.hierarchy()
	if err != nil {
		return err
	}
	f.making.Lock()
	defer f.making.Unlock()
	var errs []error
	for _, id := range mirrored(h, f.cfg) {
		if slices.Contains(ids, id) {
			continue
		}
		if err := f.drop(h, id); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// mirrored lists the containers that have a folder of ours. Whatever else
// somebody made there is not ours.
func mirrored(h *hierarchy, cfg Config) []string {
	entries, err := os.ReadDir(h.folder(cfg.parent()))
	if err != nil {
		return nil
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && containerID.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// containerID is the form of the runtime's IDs (containerd, internal/cri/util).
var containerID = regexp.MustCompile("^[0-9a-f]{64}$")

// Drop removes the folder of a container that ended. It is no error when there
// is none; with processes in it, it stays, and the error is unix.EBUSY.
func (f *Folders) Drop(id string) error {
	h, err := f.hierarchy()
	if err != nil {
		return nil //nolint:nilerr // without a hierarchy there is no folder
	}
	return f.drop(h, id)
}

func (f *Folders) drop(h *hierarchy, id string) error {
	return removeTree(h.folder(filepath.Join(f.cfg.parent(), id)))
}

// removeTree removes a folder and what is below it, children first.
func removeTree(dir string) error {
	for _, d := range slices.Backward(tree(dir)) {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup2 folder %s: %w", d, err)
		}
	}
	return nil
}

// Remove takes away everything of ours. Processes that are in our folders go to
// the root of the hierarchy. It needs no running state and may be repeated;
// where the kernel has no cgroup2 there is nothing to do.
func Remove(ctx context.Context, cfg Config) error {
	h, err := open()
	if err != nil {
		return nil //nolint:nilerr // without a hierarchy nothing was ever made
	}
	defer h.close()
	var errs []error
	for _, id := range mirrored(h, cfg) {
		dir := h.folder(filepath.Join(cfg.parent(), id))
		empty(ctx, h, dir)
		errs = append(errs, removeTree(dir))
	}
	if err := unix.Rmdir(h.folder(cfg.parent())); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) {
		errs = append(errs, fmt.Errorf("remove cgroup2 folder %s: %w", cfg.parent(), err))
	}
	if err := errors.Join(errs...); err != nil || h.mount == nil {
		return err
	}
	// Nobody else uses the hierarchy, so what leads to our folder is ours too.
	for dir := filepath.Dir(cfg.parent()); dir != "/"; dir = filepath.Dir(dir) {
		if unix.Rmdir(h.folder(dir)) != nil {
			break // others are in it
		}
	}
	return nil
}

// empty moves the processes of a folder to the root of the hierarchy. What does
// not go keeps the folder, which is told then.
func empty(ctx context.Context, h *hierarchy, dir string) {
	for range rounds {
		left := processes(dir)
		if len(left) == 0 || ctx.Err() != nil {
			return
		}
		for _, pid := range left {
			_ = move(h.top, pid)
		}
	}
}
