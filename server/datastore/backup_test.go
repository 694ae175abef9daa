package datastore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestCopyWhileWritersWriteIsOneWholeMoment(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.stop(t)
	c := client(t, r.Endpoints()[0])
	for i := range 1500 {
		put(t, c, fmt.Sprintf("/registry/pods/default/p%d", i), strings.Repeat("x", 4000))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	// Pairs are written in one order, so no moment has b ahead of a.
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = c.Put(ctx, "/registry/configmaps/default/a", fmt.Sprintf("%08d", i))
			_, _ = c.Put(ctx, "/registry/configmaps/default/b", fmt.Sprintf("%08d", i))
		}
	})
	defer wg.Wait()
	defer cancel()
	eventually(t, "the writer writes", func() bool { return get(t, c, "/registry/configmaps/default/b") != "" })
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "copy.db")
		facts, err := Copy(t.Context(), r.cfg.Path, path)
		if err != nil {
			t.Fatal(err)
		}
		if facts.Objects["pods"] != 1500 || facts.Objects["configmaps"] != 2 || facts.Revision < 1502 {
			t.Errorf("round %d: %+v", round, facts)
		}
		a, b := latest(t, path, "/registry/configmaps/default/a"), latest(t, path, "/registry/configmaps/default/b")
		if a < b || a == "" {
			t.Errorf("round %d: a is %q and b %q", round, a, b)
		}
		if beside, _ := filepath.Glob(path + "-*"); len(beside) > 0 {
			t.Errorf("beside the copy are %v", beside)
		}
	}
}

func latest(t *testing.T, path, key string) (value string) {
	t.Helper()
	db, err := openSQLite(t.Context(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT value FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1", key).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestCopyOfAStoppedOrKilledServersDatabaseHasTheLog(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	put(t, client(t, r.Endpoints()[0]), "/registry/pods/default/a", "1")
	// As a kill leaves it: the log was not moved into the database.
	killed := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(cfg.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(killed, "state.db"+suffix), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.stop(t)
	for _, source := range []string{cfg.Path, filepath.Join(killed, "state.db")} {
		facts, err := Copy(t.Context(), source, filepath.Join(t.TempDir(), "copy.db"))
		if err != nil || facts.Objects["pods"] != 1 {
			t.Errorf("%s: %+v, %v", source, facts, err)
		}
	}
}

func TestCopyOfADamagedDatabaseIsRefused(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	c := client(t, r.Endpoints()[0])
	for i := range 200 {
		put(t, c, fmt.Sprintf("/registry/pods/default/p%d", i), strings.Repeat("x", 3000))
	}
	r.stop(t)
	st, err := os.Stat(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(f *os.File) error{
		"empty":  func(f *os.File) error { return f.Truncate(0) },
		"cut":    func(f *os.File) error { return f.Truncate(st.Size() / 2) },
		"header": func(f *os.File) error { _, err := f.WriteAt(make([]byte, 100), 0); return err },
		"page":   func(f *os.File) error { _, err := f.WriteAt(make([]byte, 8192), 5*4096); return err },
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(cfg.Path)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(spoil(f), f.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := Copy(t.Context(), path, path+".copy"); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCopyEndsWithItsContext(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Copy(ctx, r.cfg.Path, filepath.Join(t.TempDir(), "copy.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestResourceOfKeys(t *testing.T) {
	for key, want := range map[string]string{
		"/registry/pods/default/a":                  "pods",
		"/registry/namespaces/kube-system":          "namespaces",
		"/registry/services/specs/default/web":      "services/specs",
		"/registry/edge.kedge.io/edgefirewalls/one": "edge.kedge.io/edgefirewalls",
		"/registry/a.b":                             "a.b",
	} {
		if got := resourceOf(key); got != want {
			t.Errorf("%s is of %q, want %q", key, got, want)
		}
	}
}
