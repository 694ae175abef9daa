package datastore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// replaced is a server whose database was put aside for another one, which was
// used then.
func replaced(t *testing.T) (cfg Config, aside string) {
	t.Helper()
	cfg = testConfig(t)
	r := start(t, cfg)
	put(t, client(t, r.Endpoints()[0]), "/registry/a", "former")
	r.stop(t)
	staged := filepath.Join(t.TempDir(), "state.db")
	if _, err := Copy(t.Context(), cfg.Path, staged); err != nil {
		t.Fatal(err)
	}
	if err := Rewind(t.Context(), staged, NewBase(time.Now()), "snapshot-1"); err != nil {
		t.Fatal(err)
	}
	aside = t.TempDir()
	move(t, cfg.Path, filepath.Join(aside, "state.db"))
	move(t, staged, cfg.Path)
	r = start(t, cfg)
	put(t, client(t, r.Endpoints()[0]), "/registry/a", "later")
	r.stop(t)
	return cfg, aside
}

// move moves a database with all that belongs to it.
func move(t *testing.T, from, to string) {
	t.Helper()
	files, err := filepath.Glob(from + "*")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.Rename(f, to+strings.TrimPrefix(f, from)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabaseInThePlaceOfALaterOneIsNotTakenSilently(t *testing.T) {
	cfg, aside := replaced(t)
	later := readLast(cfg.Path).Revision
	move(t, cfg.Path, filepath.Join(t.TempDir(), "state.db"))
	move(t, filepath.Join(aside, "state.db"), cfg.Path)
	_, err := Examine(t.Context(), cfg, false)
	if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "in use here last") || !strings.Contains(err.Error(), "kedge datastore accept") {
		t.Fatalf("got %v", err)
	}
	// With a clock that shows 1970 it begins above the one that was used last, too.
	if base := NewBase(time.Unix(0, 0), Known(t.Context(), cfg.Path, cfg.VolatileDir)...); base <= later {
		t.Errorf("accepted it would begin at %d, and %d was in use", base, later)
	}
	// Announced, as accept does it.
	if err := Rewind(t.Context(), cfg.Path, NewBase(time.Now(), later), ""); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg)
	defer r.stop(t)
	if got := get(t, client(t, r.Endpoints()[0]), "/registry/a"); got != "former" {
		t.Errorf("a is %q", got)
	}
}

func TestDatabaseThatIsPutBackBeforeItsSuccessorWasUsedGoesOn(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg).stop(t)
	aside := filepath.Join(t.TempDir(), "state.db")
	move(t, cfg.Path, aside)
	move(t, aside, cfg.Path)
	start(t, cfg).stop(t)
}

func TestOlderCopyOfTheWholeFolderIsFound(t *testing.T) {
	cfg := testConfig(t)
	start(t, cfg).stop(t)
	copied := filepath.Join(t.TempDir(), "db")
	if err := os.CopyFS(copied, os.DirFS(filepath.Dir(cfg.Path))); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg)
	put(t, client(t, r.Endpoints()[0]), "/registry/a", "later")
	r.stop(t)
	// After a boot nothing is in memory.
	if err := errors.Join(os.RemoveAll(filepath.Dir(cfg.Path)), os.RemoveAll(cfg.VolatileDir), os.Rename(copied, filepath.Dir(cfg.Path))); err != nil {
		t.Fatal(err)
	}
	if _, err := Examine(t.Context(), cfg, false); !errors.Is(err, ErrLoss) || !strings.Contains(err.Error(), "older copy") {
		t.Errorf("got %v", err)
	}
}

func TestKillBetweenNotesAboutARestoredDatabaseIsNoDamage(t *testing.T) {
	cfg, _ := replaced(t)
	staged := filepath.Join(t.TempDir(), "state.db")
	if _, err := Copy(t.Context(), cfg.Path, staged); err != nil {
		t.Fatal(err)
	}
	if err := Rewind(t.Context(), staged, NewBase(time.Now(), readLast(cfg.Path).Revision), "snapshot-2"); err != nil {
		t.Fatal(err)
	}
	move(t, cfg.Path, filepath.Join(t.TempDir(), "state.db"))
	move(t, staged, cfg.Path)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	durable, _ := s.instances()
	durable.socket = filepath.Join(cfg.SocketDir, "missing", "kine.sock") // it ends there
	if err := durable.openWitnessed(t.Context(), ""); err == nil {
		t.Fatal("it was opened")
	}
	// Nothing is closed, as after a kill.
	t.Cleanup(func() { durable.cancel(); durable.work.Wait(); _ = durable.own.Close() })
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "server"), os.DirFS(filepath.Dir(filepath.Dir(cfg.Path)))); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), filepath.Join(dir, "server", "db", "state.db"), "", false); err != nil {
		t.Error(err)
	}
}
