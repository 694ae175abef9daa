package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/slots"
)

// Names inside the folder that holds the slots.
const (
	currentName = "current"
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
	err = slots.Locked(ctx, dir, func() error {
		if err := slots.RemoveTemporary(dir); err != nil {
			return err
		}
		if err := a.fill(ctx, dir, m, &slot); err != nil {
			return err
		}
		return point(dir, m.ID)
	})
	if err != nil {
		return Slot{}, fmt.Errorf("unpack the runtime bundle into %s: %w", dir, slots.Remedy(err, m.size()))
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
	return slots.Fill(dir, m.ID, func(folder string) error { return a.extract(ctx, folder, m) })
}

// point switches dir/current to id in one step.
func point(dir, id string) error {
	link := filepath.Join(dir, currentName)
	if now, err := os.Readlink(link); err == nil && now == id {
		return nil
	}
	temp := filepath.Join(dir, slots.TempPrefix+currentName)
	if err := os.Symlink(id, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, link); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return slots.SyncDir(dir)
}

// Sweep removes the slots below dir that neither dir/current leads to nor
// inUse, called with each slot's folder, says are executed from. It returns the
// folders it removed.
func Sweep(ctx context.Context, dir string, inUse func(slot string) bool) ([]string, error) {
	var removed []string
	err := slots.Locked(ctx, dir, func() error {
		if err := slots.RemoveTemporary(dir); err != nil {
			return err
		}
		current, err := os.Readlink(filepath.Join(dir, currentName))
		if err != nil {
			return err // without it nobody knows which slot is the right one
		}
		removed, err = slots.Sweep(dir, func(slot string) bool {
			return filepath.Base(slot) == current || inUse(slot)
		})
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("remove old runtime bundles below %s: %w", dir, err)
	}
	return removed, nil
}
