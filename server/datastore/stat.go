package datastore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// DatabaseStat is the size and age of one SQLite database. Sizes are bytes.
type DatabaseStat struct {
	Name            string    `json:"name"` // durable or volatile
	Path            string    `json:"path"`
	Bytes           int64     `json:"bytes"`        // database file
	FreeBytes       int64     `json:"freeBytes"`    // unused pages inside it
	LogBytes        int64     `json:"logBytes"`     // write-ahead log file
	PendingBytes    int64     `json:"pendingBytes"` // log content not yet in the database file
	Revision        int64     `json:"revision"`
	CompactRevision int64     `json:"compactRevision"`
	DiskFree        int64     `json:"diskFree"`
	At              time.Time `json:"at"`
}

// Stat describes the open databases; empty before the component is ready and
// for an external datastore. It writes nothing.
func (s *Store) Stat(ctx context.Context) ([]DatabaseStat, error) {
	s.mu.Lock()
	all := s.running
	s.mu.Unlock()
	var out []DatabaseStat
	for _, i := range all {
		d, err := i.stat(ctx)
		if err != nil {
			return nil, fmt.Errorf("stat %s database: %w", i.name, err)
		}
		out = append(out, d)
	}
	return out, nil
}

func (i *instance) stat(ctx context.Context) (DatabaseStat, error) {
	f, err := i.look(ctx)
	if err != nil {
		return DatabaseStat{}, err
	}
	d := DatabaseStat{
		Name: i.name, Path: i.path, Bytes: f.pageBytes, FreeBytes: f.freePageBytes, PendingBytes: f.pendingBytes,
		Revision: f.revision, CompactRevision: f.compactRevision, DiskFree: f.diskFree, At: f.now,
	}
	if st, err := os.Stat(i.path + "-wal"); err == nil {
		d.LogBytes = st.Size()
	}
	return d, nil
}

// StatFile describes the database at path, which nobody has open. It writes
// nothing.
func StatFile(ctx context.Context, path string) (d DatabaseStat, err error) {
	d = DatabaseStat{Name: durableName, Path: path, At: time.Now()}
	if _, err := os.Stat(path); err != nil {
		return d, fmt.Errorf("stat database: %w", err)
	}
	db, err := openSQLite(ctx, path, true)
	if err != nil {
		return d, fmt.Errorf("stat database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT page_count * page_size, freelist_count * page_size,
		(SELECT COALESCE(MAX(id), 0) FROM kine), (SELECT COALESCE(MAX(prev_revision), 0) FROM kine WHERE name = 'compact_rev_key')
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).
		Scan(&d.Bytes, &d.FreeBytes, &d.Revision, &d.CompactRevision)
	if err != nil {
		return d, fmt.Errorf("stat database %s: %w", path, err)
	}
	if st, err := os.Stat(path + "-wal"); err == nil {
		d.LogBytes, d.PendingBytes = st.Size(), st.Size()
	}
	d.DiskFree, err = FreeBytes(filepath.Dir(path))
	return d, err
}
