package restore

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore"
)

// Each of these is found at the next start, and the snapshot that is offered
// then makes the cluster work again. What is found in which words is tested
// where the finding is.
func TestRestoreMendsEachDamage(t *testing.T) {
	for name, hurt := range map[string]func(*testing.T, string){
		"cut to nothing":    func(t *testing.T, db string) { cut(t, db, 0) },
		"cut short":         func(t *testing.T, db string) { cut(t, db, 100) },
		"cut in half":       func(t *testing.T, db string) { cut(t, db, size(t, db)/2) },
		"cut by a page":     func(t *testing.T, db string) { cut(t, db, size(t, db)-4096) },
		"header zeroed":     func(t *testing.T, db string) { overwrite(t, db, 0, make([]byte, 100)) },
		"page zeroed":       func(t *testing.T, db string) { overwrite(t, db, 2*4096, make([]byte, 4096)) },
		"a byte changed":    func(t *testing.T, db string) { overwrite(t, db, size(t, db)/2+77, []byte{0xa5}) },
		"page size":         func(t *testing.T, db string) { overwrite(t, db, 16, []byte{0x20, 0}) },
		"foreign log":       func(t *testing.T, db string) { write(t, db+"-wal", strings.Repeat("x", 9000)) },
		"removed":           func(t *testing.T, db string) { gone(t, db) },
		"removed, all":      func(t *testing.T, db string) { gone(t, db); gone(t, db+".witness") },
		"witness":           func(t *testing.T, db string) { write(t, db+".witness", "{") },
		"another program":   func(t *testing.T, db string) { write(t, db, "#!/bin/sh\n"+strings.Repeat("echo\n", 4000)) },
		"folder of its own": func(t *testing.T, db string) { gone(t, db); mkdir(t, db) },
	} {
		t.Run(name, func(t *testing.T) {
			l, _, file := cluster(t)
			hurt(t, l.Database())
			if err := examine(t, l, file); !errors.Is(err, datastore.ErrDamaged) || !strings.Contains(err.Error(), "kedge snapshot restore "+file) {
				t.Fatalf("found: %v", err)
			}
			res, err := run(t, l, file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := examine(t, l, file); err != nil {
				t.Error(err)
			}
			use(t, l, func(c *clientv3.Client) {
				if got := get(t, c, "/registry/x"); got != "saved" {
					t.Errorf("x is %q", got)
				}
			})
			t.Logf("kept in %s", res.Aside)
			leftovers(t, l)
		})
	}
}

func examine(t *testing.T, l paths.Layout, file string) error {
	t.Helper()
	_, err := datastore.Examine(t.Context(), datastore.Config{
		Path: l.Database(), VolatileDir: datastore.VolatileDir(l.RunDir),
		Offer: func(context.Context) string { return "kedge snapshot restore " + file },
	}, false)
	return err
}

func cut(t *testing.T, path string, to int64) {
	t.Helper()
	if err := os.Truncate(path, to); err != nil {
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

func overwrite(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, at); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
