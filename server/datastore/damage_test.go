package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/fsx"
)

// image is the files of a database as the death of its process leaves them,
// or, once settled, an orderly stop.
type image struct {
	path, volatile string
	last           int64 // last acknowledged revision
}

// crashed copies the files of a running database. The copy is what a kill at
// that moment would leave.
func crashed(t *testing.T) image {
	t.Helper()
	cfg := testConfig(t)
	r := start(t, cfg)
	defer r.stop(t)
	fill(t, r, "first", 20)
	if err := r.running[0].act(t.Context(), actions{checkpoint: true}); err != nil {
		t.Fatal(err)
	}
	last := fill(t, r, "crash", 60)
	return copyImage(t, cfg, last)
}

// crashedNew is one whose log is still its first and has all pages.
func crashedNew(t *testing.T) image {
	t.Helper()
	cfg := testConfig(t)
	r := start(t, cfg)
	defer r.stop(t)
	return copyImage(t, cfg, fill(t, r, "new", 60))
}

// settled is left by an orderly stop.
func settled(t *testing.T) image {
	t.Helper()
	cfg := testConfig(t)
	r := start(t, cfg)
	last := fill(t, r, "stop", 60)
	r.stop(t)
	return copyImage(t, cfg, last)
}

// fill writes enough for each page of interest to exist: rows, overflow,
// indexes, and free pages.
func fill(t *testing.T, r *running, prefix string, n int) (last int64) {
	t.Helper()
	c := client(t, r.Endpoints()[0])
	for i := range n {
		last = put(t, c, fmt.Sprintf("/registry/%s/%d", prefix, i), strings.Repeat(prefix, 500))
	}
	if prefix == "stop" {
		_, err := r.running[0].own.ExecContext(t.Context(), "DELETE FROM kine WHERE id BETWEEN 10 AND 40")
		if err != nil {
			t.Fatal(err)
		}
	}
	return last
}

func copyImage(t *testing.T, cfg Config, last int64) image {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{filepath.Dir(cfg.Path): filepath.Join(dir, "db"), cfg.VolatileDir: filepath.Join(dir, "volatile")} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return image{path: filepath.Join(dir, "db", "state.db"), volatile: filepath.Join(dir, "volatile"), last: last}
}

// powerCut takes what was in memory, and the index of the log, which counts
// for nothing.
func (i image) powerCut(t *testing.T) image {
	t.Helper()
	i.volatile = ""
	_ = os.Remove(i.path + "-shm")
	return i
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// flip changes n bytes at an offset.
func flip(t *testing.T, path string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0x55
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// zero overwrites n bytes with zeros.
func zero(t *testing.T, path string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, n), at); err != nil {
		t.Fatal(err)
	}
}

// pageOf is the offset of the first leaf of a table or index.
func pageOf(t *testing.T, path, name string) int64 {
	t.Helper()
	db, err := openSQLite(t.Context(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page int64
	err = db.QueryRowContext(t.Context(), "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' LIMIT 1", name).Scan(&page)
	if err != nil {
		t.Fatal(err)
	}
	return (page - 1) * durablePageSize
}

const walFrame = walFrameHeader + durablePageSize

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

// valueAt is an offset inside of an object's value.
func valueAt(t *testing.T, path string) int64 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(raw), "stopstopstop")
	if at < 0 {
		t.Fatal("no value found")
	}
	return int64(at)
}

// freePage is the offset of the first page of the list of free ones.
func freePage(t *testing.T, path string) int64 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := int64(raw[32])<<24 | int64(raw[33])<<16 | int64(raw[34])<<8 | int64(raw[35])
	if page == 0 {
		t.Fatal("no page is free")
	}
	return (page - 1) * durablePageSize
}

// lastTransaction is where the last transaction of a log begins.
func lastTransaction(t *testing.T, path string) int64 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	for at := int64(walHeaderSize); at+walFrame <= int64(len(raw)); at += walFrame {
		if string(raw[at+4:at+8]) != "\x00\x00\x00\x00" {
			ends = append(ends, at+walFrame)
		}
	}
	if len(ends) < 3 {
		t.Fatalf("%d transactions in the log", len(ends))
	}
	return ends[len(ends)-2]
}

func swap(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := fsx.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// older takes the last rows away and lets the witness agree with the file.
func older(t *testing.T, i image) {
	t.Helper()
	db, err := openSQLite(t.Context(), i.path, false, "journal_mode=DELETE")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM kine WHERE id > ?", i.last-10); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := readWitness(i.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.closed(i.path); err != nil {
		t.Fatal(err)
	}
}

func foreign(t *testing.T, path string) {
	t.Helper()
	for _, f := range []string{path, path + "-wal", path + "-shm"} {
		remove(t, f)
	}
	db, err := sql.Open(driverName, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE songs (name TEXT)"); err != nil {
		t.Fatal(err)
	}
}
