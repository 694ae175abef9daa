package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Names inside the folder that holds the slots.
const (
	lockName    = ".lock"
	currentName = "current"
	tempPrefix  = ".tmp-"
	markerName  = ".complete"
)

// Action says what [Unpack] had to do for a slot.
type Action string

// The actions of Unpack.
const (
	Kept     Action = "kept"     // the slot was there and right
	Unpacked Action = "unpacked" // the slot was written
	Repaired Action = "repaired" // the slot was damaged and has been replaced
)

// Slot is one unpacked bundle.
type Slot struct {
	// ID is the content's name, see [Manifest].
	ID string
	// Dir is the slot's folder, <data>/<id>.
	Dir string
	// Action is what was done.
	Action Action
	// Damage says why the slot was replaced; nil unless Action is Repaired.
	Damage error
}

// Bin returns the folder of the programs: runc, containerd-shim-runc-v2 and the
// CNI plugins bridge, host-local and portmap.
func (s Slot) Bin() string { return filepath.Join(s.Dir, "bin") }

// PauseArchive returns the path of the image archive of [PauseImage].
func (s Slot) PauseArchive() string { return filepath.Join(s.Dir, "images", "pause.tar") }

// Unpack makes sure that the bundle of this binary is in its slot below dir and
// that dir/current leads to it. It is safe to repeat and to call from several
// processes at once; a second call only compares names, sizes and modes. When
// it fails, no unfinished slot stays behind. Errors: [ErrNotBuilt]; the end of
// ctx, which also limits waiting for another process; those of the file system,
// with the remedy where the disk is full or read-only.
func Unpack(ctx context.Context, dir string) (Slot, error) {
	a, err := embedded()
	if err != nil {
		return Slot{}, err
	}
	return a.unpack(ctx, dir)
}

// Missing is how many bytes [Unpack] would write into dir: 0 when the slot is
// there already.
func Missing(dir string) (int64, error) {
	m, err := Embedded()
	if err != nil {
		return 0, err
	}
	if _, err := os.Lstat(filepath.Join(dir, m.ID)); err == nil {
		return 0, nil
	}
	return m.size(), nil
}

func (a archive) unpack(ctx context.Context, dir string) (Slot, error) {
	m, err := a.manifest()
	if err != nil {
		return Slot{}, err
	}
	slot := Slot{ID: m.ID, Dir: filepath.Join(dir, m.ID), Action: Kept}
	err = locked(ctx, dir, func() error {
		if err := removeTemporary(dir); err != nil {
			return err
		}
		if err := a.fill(ctx, dir, m, &slot); err != nil {
			return err
		}
		return point(dir, m.ID)
	})
	if err != nil {
		return Slot{}, fmt.Errorf("unpack the runtime bundle into %s: %w", dir, explain(err, m))
	}
	return slot, nil
}

// fill writes the slot unless it is there and right.
func (a archive) fill(ctx context.Context, dir string, m Manifest, slot *Slot) error {
	_, err := os.Lstat(slot.Dir)
	switch {
	case err == nil:
		damage := check(slot.Dir, m)
		if damage == nil {
			return nil
		}
		slot.Action, slot.Damage = Repaired, damage
	case errors.Is(err, os.ErrNotExist):
		slot.Action = Unpacked
	default:
		return err
	}
	return a.replace(ctx, dir, m)
}

// replace unpacks beside the slot and then gives the new folder the slot's name.
func (a archive) replace(ctx context.Context, dir string, m Manifest) error {
	temp, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return err
	}
	err = a.extract(ctx, temp, m)
	if err == nil {
		err = exchange(temp, filepath.Join(dir, m.ID))
	}
	// After an exchange temp is the damaged former slot, else what is unfinished.
	return errors.Join(err, os.RemoveAll(temp))
}

// point switches dir/current to id in one step.
func point(dir, id string) error {
	link := filepath.Join(dir, currentName)
	if now, err := os.Readlink(link); err == nil && now == id {
		return nil
	}
	temp := filepath.Join(dir, tempPrefix+currentName)
	if err := os.Symlink(id, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, link); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(dir)
}

// Sweep removes the slots below dir that neither dir/current leads to nor
// inUse, called with each slot's folder, says are executed from. It returns the
// folders it removed.
func Sweep(ctx context.Context, dir string, inUse func(slot string) bool) ([]string, error) {
	var removed []string
	err := locked(ctx, dir, func() error {
		if err := removeTemporary(dir); err != nil {
			return err
		}
		current, err := os.Readlink(filepath.Join(dir, currentName))
		if err != nil {
			return err // without it nobody knows which slot is the right one
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			slot := filepath.Join(dir, e.Name())
			if !isSlot(e) || e.Name() == current || inUse(slot) {
				continue
			}
			if err := discard(dir, slot); err != nil {
				return err
			}
			removed = append(removed, slot)
		}
		return nil
	})
	if err != nil {
		return removed, fmt.Errorf("remove old runtime bundles below %s: %w", dir, err)
	}
	return removed, nil
}

// discard takes the slot's name away first, so that a crash in between leaves a
// temporary folder and not half a slot.
func discard(dir, slot string) error {
	temp := filepath.Join(dir, tempPrefix+filepath.Base(slot))
	if err := os.Rename(slot, temp); err != nil {
		return err
	}
	return os.RemoveAll(temp)
}

// isSlot knows a slot by its name: nothing else in the folder is removed.
func isSlot(e os.DirEntry) bool {
	return e.IsDir() && len(e.Name()) == 16 && strings.Trim(e.Name(), "0123456789abcdef") == ""
}

// removeTemporary removes what processes that died have left; the caller holds
// the lock, so none of it is in use.
func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain adds the remedy to the failures that a person can mend.
func explain(err error, m Manifest) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free at least %d MiB there or choose another place with --data-dir", err, m.size()>>20+1)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: mount it writable or choose another place with --data-dir", err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: run kedge as root or choose another place with --data-dir", err)
	}
	return err
}
