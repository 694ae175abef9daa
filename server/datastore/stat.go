package datastore

import (
	"context"
	"fmt"
	"os"
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
		f, err := i.look(ctx)
		if err != nil {
			return nil, fmt.Errorf("stat %s database: %w", i.name, err)
		}
		d := DatabaseStat{
			Name: i.name, Path: i.path, Bytes: f.pageBytes, FreeBytes: f.freePageBytes, PendingBytes: f.pendingBytes,
			Revision: f.revision, CompactRevision: f.compactRevision, DiskFree: f.diskFree, At: f.now,
		}
		if st, err := os.Stat(i.path + "-wal"); err == nil {
			d.LogBytes = st.Size()
		}
		out = append(out, d)
	}
	return out, nil
}
