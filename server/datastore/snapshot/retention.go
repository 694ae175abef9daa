package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/fsx"
)

// surplus returns what retention would delete of entries, which are those of
// [List]: whole snapshots alone, of this cluster, node and name, beyond the keep
// latest states.
func surplus(entries []Entry, recovery, node, name string, keep int) (kept, extra []Entry) {
	for _, e := range entries {
		if !e.Good() || e.Manifest.Recovery != recovery || e.Manifest.Node != node || e.Manifest.Name != name {
			continue
		}
		if len(kept) < max(keep, 1) {
			kept = append(kept, e)
		} else {
			extra = append(extra, e)
		}
	}
	return kept, extra
}

// pruneLocal deletes what retention allows in the folder, which is locked.
// verified is the file that was verified just now, if any.
func (m *Manager) pruneLocal(ctx context.Context, recovery, name string, keep int, verified string) ([]string, error) {
	entries, err := List(m.cfg.Dir)
	if err != nil {
		return nil, err
	}
	kept, extra := surplus(entries, recovery, m.cfg.Node, name, keep)
	for len(extra) > 0 && kept[0].File != verified {
		// A bit may have changed since: before anything is deleted, one that
		// stays is read as a whole.
		err := verifyFile(ctx, kept[0].Location)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		m.cfg.Log.Warn("a snapshot is damaged and does not count any more", "file", kept[0].Location, "error", err)
		kept, extra = append(kept[1:], extra[0]), extra[1:]
	}
	var deleted []string
	for _, e := range extra {
		if err := removeLocal(m.cfg.Dir, e.File); err != nil {
			return deleted, err
		}
		deleted = append(deleted, e.Location)
	}
	return deleted, nil
}

// pruneRemote does the same elsewhere, where only ends and manifests are read.
func (m *Manager) pruneRemote(ctx context.Context, recovery, name string, keep int) ([]string, error) {
	entries, err := m.cfg.Remote.List(ctx, name+"-"+m.cfg.Node+"-")
	if err != nil {
		return nil, err
	}
	var deleted []string
	_, extra := surplus(entries, recovery, m.cfg.Node, name, keep)
	for _, e := range extra {
		if err := m.cfg.Remote.Delete(ctx, e.File); err != nil {
			return deleted, err
		}
		deleted = append(deleted, e.Location)
	}
	return deleted, nil
}

func removeLocal(dir, file string) error {
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		return fmt.Errorf("delete snapshot: %w", err)
	}
	return fsx.SyncDir(dir)
}
