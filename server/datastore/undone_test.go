package datastore

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

// putBack is a copy of a database that begins again at base.
func putBack(t *testing.T, old Config) (cfg Config, base int64) {
	t.Helper()
	cfg = testConfig(t)
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), old.Path, cfg.Path); err != nil {
		t.Fatal(err)
	}
	base = NewBase(time.Now(), Known(t.Context(), old.Path, old.VolatileDir)...)
	if err := Rewind(t.Context(), cfg.Path, base, "snapshot"); err != nil {
		t.Fatal(err)
	}
	return cfg, base
}

// life runs a database, in which one thing is written, and returns at which
// revision, and what restores have undone before.
func life(t *testing.T, cfg Config) (last int64, undone []wire.Stretch) {
	t.Helper()
	s := start(t, cfg)
	undone = s.Undone().Undone
	last = put(t, client(t, s.Endpoints()[0]), "/registry/a", "1")
	s.stop(t)
	return last, undone
}

func TestDatabaseRemembersWhatRestoresHaveUndone(t *testing.T) {
	cfg := testConfig(t)
	first, undone := life(t, cfg)
	if len(undone) != 0 {
		t.Errorf("a database that was never restored: %v", undone)
	}
	cfg, base := putBack(t, cfg)
	want := []wire.Stretch{{After: first, Before: base}}
	second, undone := life(t, cfg)
	if !slices.Equal(undone, want) {
		t.Errorf("after a restore %v, want %v", undone, want)
	}
	// A snapshot of the restored one brings it along.
	cfg, base = putBack(t, cfg)
	want = append(want, wire.Stretch{After: second, Before: base})
	if _, undone := life(t, cfg); !slices.Equal(undone, want) {
		t.Errorf("after a second restore %v, want %v", undone, want)
	}
}

func TestDatabaseThatAnOlderKedgeRestoredStarts(t *testing.T) {
	cfg := testConfig(t)
	life(t, cfg)
	cfg, _ = putBack(t, cfg)
	db, err := openSQLite(t.Context(), cfg.Path, false)
	if err != nil {
		t.Fatal(err)
	}
	older := []byte("2026-11-22T12:00:00Z")
	if _, err := db.ExecContext(t.Context(), "UPDATE kine SET value = ? WHERE name = ?", older, restoredKey); err != nil {
		t.Fatal(err)
	}
	closeAnew(t, cfg, db)
	if _, undone := life(t, cfg); len(undone) != 0 {
		t.Errorf("undone %v", undone)
	}
}

// closeAnew closes a database that was changed by hand, as if kedge had.
func closeAnew(t *testing.T, cfg Config, db *sql.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := readWitness(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.closed(cfg.Path); err != nil {
		t.Fatal(err)
	}
}
