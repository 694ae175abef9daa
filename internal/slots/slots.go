package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// TempPrefix starts the names of unfinished folders and links beside the slots.
const TempPrefix = ".tmp-"

// Fill gives dir/id the content that fill writes into a new folder, in one step
// also when the slot exists. fill syncs what it writes. When it fails, nothing
// unfinished stays behind. The caller holds the lock.
func Fill(dir, id string, fill func(folder string) error) error {
	temp, err := os.MkdirTemp(dir, TempPrefix)
	if err != nil {
		return err
	}
	if err = os.Chmod(temp, 0o755); err == nil { // MkdirTemp makes it 0700
		err = fill(temp)
	}
	if err == nil {
		err = exchange(temp, filepath.Join(dir, id))
	}
	// After an exchange temp is the former slot, else what is unfinished.
	return errors.Join(err, os.RemoveAll(temp))
}

// exchange gives the folder at from the name to, in one step also when to
// exists; from is then what was at to.
func exchange(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOENT):
		err = os.Rename(from, to)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		// The file system cannot exchange: for a moment no slot has the name.
		err = swap(from, to)
	}
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return SyncDir(filepath.Dir(to))
}

func swap(from, to string) error {
	aside := from + ".old"
	err := os.Rename(to, aside)
	if errors.Is(err, os.ErrNotExist) {
		return os.Rename(from, to)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return os.Rename(aside, from)
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Sweep removes the slots below dir that keep, called with each slot's folder,
// does not want, and returns their folders. The caller holds the lock.
func Sweep(dir string, keep func(slot string) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, e := range entries {
		slot := filepath.Join(dir, e.Name())
		if !isSlot(e) || keep(slot) {
			continue
		}
		if err := discard(dir, slot); err != nil {
			return removed, err
		}
		removed = append(removed, slot)
	}
	return removed, nil
}

// discard takes the slot's name away first, so that a crash in between leaves a
// temporary folder and not half a slot.
func discard(dir, slot string) error {
	temp := filepath.Join(dir, TempPrefix+filepath.Base(slot))
	if err := os.Rename(slot, temp); err != nil {
		return err
	}
	return os.RemoveAll(temp)
}

// isSlot knows a slot by its name: nothing else in the folder is removed.
func isSlot(e os.DirEntry) bool {
	return e.IsDir() && len(e.Name()) == 16 && strings.Trim(e.Name(), "0123456789abcdef") == ""
}

// RemoveTemporary removes what processes that died have left; the caller holds
// the lock, so none of it is in use.
func RemoveTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), TempPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
