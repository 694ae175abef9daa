package datastore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// damages are ways to hurt a database; each must be found and named.
var damages = []struct {
	name  string
	of    func(*testing.T) image
	hurt  func(*testing.T, image)
	power bool // a power cut took the memory too
	want  string
	loss  bool
}{
	{name: "file cut to nothing", of: settled, want: "the file is empty",
		hurt: func(t *testing.T, i image) { truncate(t, i.path, 0) }},
	{name: "file cut inside of a page", of: settled, want: "state.db",
		hurt: func(t *testing.T, i image) { truncate(t, i.path, 5*durablePageSize+100) }},
	{name: "file cut at the end of a page", of: settled, want: "state.db",
		hurt: func(t *testing.T, i image) { truncate(t, i.path, size(t, i.path)-durablePageSize) }},
	{name: "file cut after a kill", of: crashed, want: "state.db",
		hurt: func(t *testing.T, i image) { truncate(t, i.path, 9*durablePageSize) }},
	{name: "file gone", of: settled, want: "the file is missing",
		hurt: func(t *testing.T, i image) { remove(t, i.path) }},
	{name: "file gone, log there", of: crashed, want: "missing but its log is there",
		hurt: func(t *testing.T, i image) { remove(t, i.path) }},
	{name: "header zeroed", of: settled, want: "not a database",
		hurt: func(t *testing.T, i image) { zero(t, i.path, 0, 100) }},
	{name: "page zeroed", of: settled, want: "state.db",
		hurt: func(t *testing.T, i image) { zero(t, i.path, pageOf(t, i.path, "kine"), durablePageSize) }},
	{name: "bytes of a value flipped", of: settled, want: "SQLite itself has no sums",
		hurt: func(t *testing.T, i image) { flip(t, i.path, valueAt(t, i.path), 3) }},
	{name: "bytes of an index flipped", of: settled, want: "state.db",
		hurt: func(t *testing.T, i image) {
			flip(t, i.path, pageOf(t, i.path, "kine_name_index")+durablePageSize-40, 20)
		}},
	{name: "free page flipped", of: settled, want: "state.db",
		hurt: func(t *testing.T, i image) { flip(t, i.path, freePage(t, i.path), 16) }},
	{name: "page size changed", of: settled, want: "state.db",
		hurt: func(t *testing.T, i image) { flip(t, i.path, 16, 2) }},
	{name: "older copy", of: settled, want: "older copy", loss: true,
		hurt: func(t *testing.T, i image) { older(t, i) }},
	{name: "database of another program", of: crashed, want: "another program",
		hurt: func(t *testing.T, i image) { foreign(t, i.path) }},
	{name: "log removed", of: crashed, want: "log state.db-wal is missing", loss: true,
		hurt: func(t *testing.T, i image) { remove(t, i.path+"-wal") }},
	{name: "log removed after a power cut", of: crashed, power: true, want: "state.db-wal: it is missing", loss: true,
		hurt: func(t *testing.T, i image) { remove(t, i.path+"-wal") }},
	{name: "log emptied", of: crashed, want: "cut or damaged", loss: true,
		hurt: func(t *testing.T, i image) { truncate(t, i.path+"-wal", 0) }},
	{name: "log emptied after a power cut", of: crashed, power: true, want: "state.db-wal: it is empty", loss: true,
		hurt: func(t *testing.T, i image) { truncate(t, i.path+"-wal", 0) }},
	{name: "log cut between frames", of: crashed, want: "cut or damaged", loss: true,
		hurt: func(t *testing.T, i image) { truncate(t, i.path+"-wal", lastTransaction(t, i.path+"-wal")) }},
	{name: "log cut inside of a frame", of: crashed, want: "cut or damaged", loss: true,
		hurt: func(t *testing.T, i image) { truncate(t, i.path+"-wal", size(t, i.path+"-wal")-100) }},
	{name: "bytes of the log flipped", of: crashed, power: true, want: "later ones follow", loss: true,
		hurt: func(t *testing.T, i image) { flip(t, i.path+"-wal", walHeaderSize+walFrame*30+200, 2) }},
	{name: "end of the log flipped", of: crashed, want: "cut or damaged", loss: true,
		hurt: func(t *testing.T, i image) { flip(t, i.path+"-wal", size(t, i.path+"-wal")-200, 2) }},
	{name: "header of the log flipped", of: crashed, power: true, want: "its header is damaged",
		hurt: func(t *testing.T, i image) { flip(t, i.path+"-wal", 8, 8) }},
	{name: "log of another database", of: crashed, power: true, want: "log of another database",
		hurt: func(t *testing.T, i image) { swap(t, crashedNew(t).path+"-wal", i.path+"-wal") }},
	{name: "pages of another database's log", of: crashed, power: true, want: "state.db",
		hurt: func(t *testing.T, i image) { swap(t, crashed(t).path+"-wal", i.path+"-wal") }},
	{name: "witness spoilt", of: settled, want: "witness: it says how far",
		hurt: func(t *testing.T, i image) { flip(t, witnessPath(i.path), 0, 3) }},
	{name: "witness spoilt, and a page", of: settled, want: "state.db: ",
		hurt: func(t *testing.T, i image) {
			flip(t, witnessPath(i.path), 0, 3)
			zero(t, i.path, pageOf(t, i.path, "kine"), durablePageSize)
		}},
	{name: "log beside a closed database", of: settled, want: "not of it",
		hurt: func(t *testing.T, i image) { swap(t, crashed(t).path+"-wal", i.path+"-wal") }},
}

func TestEachDamageIsFoundAndNamed(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			i := d.of(t)
			d.hurt(t, i)
			if d.power {
				i = i.powerCut(t)
			}
			_, err := Check(t.Context(), i.path, i.volatile, false)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), d.want) || errors.Is(err, ErrLoss) != d.loss {
				t.Fatalf("got %v, want one with %q, loss %v", err, d.want, d.loss)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			startIsRefused(t, i)
		})
	}
}

// startIsRefused also looks for the offer, and for files that were changed.
func startIsRefused(t *testing.T, i image) {
	t.Helper()
	cfg := testConfig(t)
	cfg.Path, cfg.VolatileDir = i.path, i.volatile
	cfg.Offer = func(context.Context) string { return "The last good snapshot is X: kedge snapshot restore X" }
	before := contents(t, filepath.Dir(i.path))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err = s.Component().Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "kedge snapshot restore X") {
		t.Errorf("start: %v", err)
	}
	if after := contents(t, filepath.Dir(i.path)); after != before {
		t.Error("the check changed a file")
	}
}

// contents is a sum of the files of a folder, without what SQLite keeps for
// readers.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		path := filepath.Join(dir, f.Name())
		if strings.HasSuffix(path, "-shm") || (strings.HasSuffix(path, "-wal") && size(t, path) == 0) {
			continue
		}
		fmt.Fprintf(&out, "%s %x\n", f.Name(), digest(t, path))
	}
	return out.String()
}

func TestWhatADeadProcessLeavesIsNoDamage(t *testing.T) {
	for name, change := range map[string]func(*testing.T, image) image{
		"as it is":        func(_ *testing.T, i image) image { return i },
		"without index":   func(t *testing.T, i image) image { remove(t, i.path+"-shm"); return i },
		"power cut":       func(t *testing.T, i image) image { return i.powerCut(t) },
		"without witness": func(t *testing.T, i image) image { remove(t, witnessPath(i.path)); return i },
		// Nobody was told of a transaction that is not whole.
		"unfinished transaction": func(t *testing.T, i image) image {
			truncate(t, i.path+"-wal", size(t, i.path+"-wal")-100)
			return i.powerCut(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := change(t, crashed(t))
			found, err := Check(t.Context(), i.path, i.volatile, false)
			if err != nil {
				t.Fatal(err)
			}
			if found.Revision < i.last-1 {
				t.Errorf("found %+v, acknowledged was %d", found, i.last)
			}
		})
	}
}

func TestDatabaseThatVanishedWithItsFolderIsNotMadeAnew(t *testing.T) {
	cfg := testConfig(t)
	cfg.Offer = func(context.Context) string { return "The last good snapshot is X: kedge snapshot restore X" }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Component().Prepare(t.Context()); !errors.Is(err, ErrLoss) {
		t.Errorf("with snapshots and no database: %v", err)
	}
}
