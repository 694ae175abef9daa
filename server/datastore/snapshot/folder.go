package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Entry is a snapshot that is kept somewhere.
type Entry struct {
	// File is the name of the file.
	File string `json:"file"`
	// Location is the path of the file, or s3://BUCKET/FOLDER/FILE.
	Location string `json:"location"`
	Bytes    int64  `json:"bytes"`
	// Modified is when the file was written, by the clock of where it is kept.
	Modified time.Time `json:"modified"`
	// Problem says why this is no snapshot that could be restored; empty for a
	// whole one.
	Problem string `json:"problem,omitempty"`
	// Manifest is there if Problem is empty.
	Manifest *Manifest `json:"manifest,omitempty"`
}

// Good tells whether the entry is a whole snapshot.
func (e Entry) Good() bool { return e.Problem == "" && e.Manifest != nil }

// List returns what ends in [Suffix] in dir, the latest state first, and what is
// no whole snapshot last. A folder that does not exist holds none.
func List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var out []Entry
	for _, d := range found {
		if CheckFile(d.Name()) != nil {
			continue
		}
		if e, ok := look(filepath.Join(dir, d.Name())); ok {
			out = append(out, e)
		}
	}
	Sort(out)
	return out, nil
}

// look opens the file at path; false when it is gone.
func look(path string) (Entry, bool) {
	e := Entry{File: filepath.Base(path), Location: path}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false
	}
	if err == nil {
		e.Bytes, e.Modified = st.Size(), st.ModTime()
		var a *Archive
		if !st.Mode().IsRegular() {
			err = errNoFile // opening a pipe would wait for its writer
		} else if a, err = Open(path); err == nil {
			m := a.Manifest()
			e.Manifest = &m
			err = a.Close()
		}
	}
	if err != nil {
		e.Problem = strings.TrimPrefix(err.Error(), "snapshot "+path+": ")
	}
	return e, true
}

// Sort puts the latest state first, and what is no whole snapshot last.
func Sort(entries []Entry) {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		switch {
		case a.Good() != b.Good():
			if a.Good() {
				return -1
			}
			return 1
		case !a.Good():
			return strings.Compare(a.File, b.File)
		case a.Manifest.Newer(*b.Manifest):
			return -1
		case b.Manifest.Newer(*a.Manifest):
			return 1
		}
		return b.Modified.Compare(a.Modified)
	})
}

// LastGood is the latest state of the cluster whose recovery token has this id
// ([Token.ID]); of any cluster with an empty id. Entries are those of [List].
func LastGood(entries []Entry, recovery string) (Entry, bool) {
	for _, e := range entries {
		if e.Good() && (recovery == "" || e.Manifest.Recovery == recovery) {
			return e, true
		}
	}
	return Entry{}, false
}
