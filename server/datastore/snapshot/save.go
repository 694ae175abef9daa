package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/fsx"
)

// tempPrefix begins the folders of saves that are under way.
const tempPrefix = ".kedge-save-"

// databaseTimeout bounds the work on the database, whose log cannot be reset as
// long as it is copied.
const databaseTimeout = time.Hour

// saveLocal makes one snapshot in the folder, which is locked. Whatever happens,
// nothing half-made stays.
func (m *Manager) saveLocal(ctx context.Context, name string) (_ Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	dir, err := os.MkdirTemp(m.cfg.Dir, tempPrefix)
	if err != nil {
		return Entry{}, fmt.Errorf("save snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := m.cfg.Now().UTC().Truncate(time.Second)
	packed := filepath.Join(dir, "snapshot")
	if err := m.pack(ctx, dir, packed, name, at); err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			err = fmt.Errorf("the disk of %s is full, nothing of this snapshot stays: %w", m.cfg.Dir, err)
		}
		return Entry{}, fmt.Errorf("save snapshot: %w", err)
	}
	path, err := m.place(packed, name, at)
	if err != nil {
		return Entry{}, fmt.Errorf("save snapshot: %w", err)
	}
	e, _ := look(path)
	if !e.Good() {
		return e, fmt.Errorf("save snapshot: %s: %s", path, e.Problem)
	}
	return e, nil
}

// makeSpace deletes what retention deletes anyway, where there is no space
// otherwise: keeping fewer must help at once, not after the next good save.
func (m *Manager) makeSpace(ctx context.Context, name string, keep int) error {
	err := m.checkSpace()
	if keep == 0 || !errors.Is(err, unix.ENOSPC) {
		return err
	}
	token, terr := ReadToken(m.cfg.Token)
	if terr != nil {
		return err
	}
	deleted, perr := m.pruneLocal(ctx, token.ID(), name, keep, "")
	if len(deleted) == 0 {
		return errors.Join(err, perr)
	}
	m.cfg.Log.Info("old snapshots deleted to have space for a new one", "files", deleted)
	return m.checkSpace()
}

// checkSpace makes sure that copy and archive will fit. An archive has a fifth to
// a third of its database; one that grows beyond half is stopped by itself.
func (m *Manager) checkSpace() error {
	var size int64
	for _, suffix := range []string{"", "-wal"} {
		// Only looked at: closing a file that SQLite has open in this process
		// would drop its locks (https://www.sqlite.org/howtocorrupt.html#posix_close_bug).
		st, err := os.Stat(m.cfg.Database + suffix)
		if err == nil {
			size += st.Size()
		} else if suffix == "" {
			return fmt.Errorf("save snapshot: there is nothing to save before a server has run: %w", err)
		}
	}
	free, err := freeBytes(m.cfg.Dir)
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	if need := size + size/2 + keepFree; free < need {
		return fmt.Errorf("save snapshot: %w", noSpace(m.cfg.Dir, free, need))
	}
	return nil
}

// pack copies, seals, writes and verifies.
func (m *Manager) pack(ctx context.Context, dir, packed, name string, at time.Time) error {
	pin, err := m.cfg.Pin()
	if err != nil {
		return err
	}
	token, err := m.token(pin)
	if err != nil {
		return err
	}
	database := filepath.Join(dir, partDatabase)
	facts, err := m.cfg.Copy(ctx, m.cfg.Database, database)
	if err != nil {
		return err
	}
	// After the database: what an object refers to, such as a key for secrets, is
	// there before it.
	id, err := collectIdentity(m.cfg.Server)
	if err != nil {
		return err
	}
	sealed, err := id.seal(token)
	if err != nil {
		return err
	}
	manifest := Manifest{
		Format: Format, Cluster: pin.String(), Recovery: token.ID(), Node: m.cfg.Node, Name: name, Time: at,
		Kedge: m.cfg.Versions.Kedge, Kubernetes: m.cfg.Versions.Kubernetes, SQLite: m.cfg.Versions.SQLite, Facts: facts,
	}
	if err := write(ctx, packed, manifest, database, sealed); err != nil {
		return err
	}
	if err := os.Remove(database); err != nil {
		return err
	}
	return verifyFile(ctx, packed)
}

// verifyFile reads the snapshot at path once.
func verifyFile(ctx context.Context, path string) (err error) {
	a, err := Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.Verify(ctx); err != nil {
		return fmt.Errorf("snapshot %s: %w", path, err)
	}
	return nil
}

// place gives the file its name. The lock on the folder keeps others away between
// the look and the rename.
func (m *Manager) place(packed, name string, at time.Time) (string, error) {
	for again := 1; ; again++ {
		path := filepath.Join(m.cfg.Dir, fileName(name, m.cfg.Node, at, again))
		if _, err := os.Lstat(path); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := os.Rename(packed, path); err != nil {
			return "", err
		}
		return path, fsx.SyncDir(m.cfg.Dir)
	}
}

// sweep removes what killed saves have left. The folder is locked, so nobody is
// at work there.
func (m *Manager) sweep() error {
	left, err := filepath.Glob(filepath.Join(m.cfg.Dir, tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what an interrupted snapshot left: %w", err)
		}
		m.cfg.Log.Info("removed what an interrupted snapshot left", "path", path)
	}
	return nil
}
