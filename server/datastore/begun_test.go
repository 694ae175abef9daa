package datastore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// begunConfig is that of a server whose database's folder may vanish.
func begunConfig(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t)
	cfg.BegunPath = filepath.Join(filepath.Dir(filepath.Dir(cfg.Path)), "datastore-begun")
	return cfg
}

func TestFolderThatVanishedIsNotAnEmptyCluster(t *testing.T) {
	cfg := begunConfig(t)
	if _, err := Examine(t.Context(), cfg, false); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("before the first start: %v", err)
	}
	start(t, cfg).stop(t)
	start(t, cfg).stop(t)
	// As if the disk of the folder were not mounted, also after a boot.
	away := filepath.Dir(cfg.Path) + ".away"
	if err := os.Rename(filepath.Dir(cfg.Path), away); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.VolatileDir); err != nil {
		t.Fatal(err)
	}
	refused(t, cfg, filepath.Dir(cfg.Path), "not mounted", "no snapshot", "kedge snapshot restore FILE", "kedge reset", "remove "+cfg.BegunPath)
	cfg.Offer = func(context.Context) string { return "The last good snapshot is X: kedge snapshot restore X" }
	refused(t, cfg, filepath.Dir(cfg.Path), "not mounted", "kedge snapshot restore X", "kedge reset")
	cfg.Offer = nil

	if err := os.Remove(filepath.Dir(cfg.Path)); err != nil { // made empty by the starts
		t.Fatal(err)
	}
	if err := os.Rename(away, filepath.Dir(cfg.Path)); err != nil {
		t.Fatal(err)
	}
	start(t, cfg).stop(t)

	remove(t, cfg.BegunPath)
	if err := os.RemoveAll(filepath.Dir(cfg.Path)); err != nil {
		t.Fatal(err)
	}
	start(t, cfg).stop(t) // on purpose
}

func refused(t *testing.T, cfg Config, want ...string) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Component().Prepare(t.Context())
	if !errors.Is(err, ErrLoss) {
		t.Fatalf("start: %v", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), "datastore accept") || strings.Contains(err.Error(), "\n") {
		t.Errorf("it offers what cannot be, or has more than one line: %v", err)
	}
	if found, err := os.ReadDir(filepath.Dir(cfg.Path)); err != nil || len(found) > 0 {
		t.Errorf("the refused start left %v, %v", found, err)
	}
}

func TestMarkOfADatabaseIsWrittenOnceAndAlsoForAnOlderOne(t *testing.T) {
	cfg := begunConfig(t)
	mark := cfg.BegunPath
	cfg.BegunPath = ""
	start(t, cfg).stop(t) // by a kedge that knew of no mark
	cfg.BegunPath = mark
	start(t, cfg).stop(t)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatalf("no mark beside an older database: %v", err)
	}
	start(t, cfg).stop(t)
	if text, err := os.ReadFile(mark); err != nil || len(text) > 0 {
		t.Errorf("the mark was written again: %q, %v", text, err)
	}
}
