package datastore

import (
	"database/sql"
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
