package datastore

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// isSound has the image checked as after a power cut.
func isSound(t *testing.T, i image) Finding {
	t.Helper()
	found, err := Check(t.Context(), i.path, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNormalDurabilityBearsAPowerCut(t *testing.T) {
	cfg := testConfig(t)
	cfg.Durability = DurabilityNormal
	r := start(t, cfg)
	defer r.stop(t)
	fill(t, r, "first", 20)
	if err := r.running[0].act(t.Context(), actions{checkpoint: true}); err != nil {
		t.Fatal(err)
	}
	noted := r.running[0].witness.Revision
	i := copyImage(t, cfg, fill(t, r, "crash", 60)).powerCut(t)
	// Of what was not synced, some of the middle did not reach the disk.
	zero(t, i.path+"-wal", size(t, i.path+"-wal")-20*walFrame, walFrame)
	if found := isSound(t, i); found.Revision < noted || len(found.Notes) == 0 {
		t.Errorf("found %+v, noted was %d", found, noted)
	}
}

func TestLogOfZerosIsNoDamageWhereNoneIsNeeded(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	defer r.stop(t)
	last := fill(t, r, "first", 20)
	if err := r.running[0].act(t.Context(), actions{checkpoint: true, truncate: true}); err != nil {
		t.Fatal(err)
	}
	i := copyImage(t, cfg, last).powerCut(t)
	if err := os.WriteFile(i.path+"-wal", make([]byte, 2*walFrame), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := isSound(t, i); found.Revision < last {
		t.Errorf("found %+v, acknowledged was %d", found, last)
	}
}

func TestLogStaysWhileNothingCanBeNoted(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	fill(t, r, "first", 20)
	former, err := os.ReadFile(witnessPath(cfg.Path))
	if err != nil {
		t.Fatal(err)
	}
	// As on a full disk.
	remove(t, witnessPath(cfg.Path))
	if err := os.MkdirAll(filepath.Join(witnessPath(cfg.Path), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.running[0].act(t.Context(), actions{checkpoint: true, truncate: true}); err == nil {
		t.Error("nothing was said")
	}
	own := r.running[0].own
	r.cancel()
	if err := <-r.done; err == nil {
		t.Error("the stop says nothing")
	}
	defer own.Close()
	if err := os.RemoveAll(witnessPath(cfg.Path)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(witnessPath(cfg.Path), former, 0o600); err != nil {
		t.Fatal(err)
	}
	isSound(t, copyImage(t, cfg, 0).powerCut(t))
}

func TestStartThatEndsEarlyNotesThatTheLogGoes(t *testing.T) {
	i := crashed(t).powerCut(t)
	cfg := testConfig(t)
	cfg.Path, cfg.VolatileDir = i.path, ""
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	durable, _ := s.instances()
	if durable.witness, err = readWitness(i.path); err != nil {
		t.Fatal(err)
	}
	if durable.own, err = openSQLite(t.Context(), i.path, false, "journal_mode=WAL"); err != nil {
		t.Fatal(err)
	}
	_, durable.cancel = context.WithCancel(t.Context())
	if err := durable.close(); err != nil {
		t.Fatal(err)
	}
	if found := isSound(t, i); found.Revision != i.last {
		t.Errorf("found %+v, acknowledged was %d", found, i.last)
	}
}
