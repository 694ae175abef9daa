package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference before comparing with it")

func TestReferenceIsCurrent(t *testing.T) {
	const dir = "../../docs/reference"
	if *update {
		if err := writeReference(dir); err != nil {
			t.Fatal(err)
		}
	}
	pages := referencePages()
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/reference/%s is not what the commands say (%v): run make docs", name, err)
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if pages[filepath.Base(path)] == nil {
			t.Errorf("%s belongs to no command: run make docs", path)
		}
	}
}

func TestWritingTheReferenceRemovesOldPages(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "kedge_gone.md")
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := execute(t, "reference", dir); code != exitOK {
		t.Fatal(stderr)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("old page: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kedge_status.md")); err != nil {
		t.Error(err)
	}
}
