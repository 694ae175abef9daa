package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
)

const (
	// stageName holds what is made, below <data>/server and below its folder db,
	// which may be a disk of its own.
	stageName = "restore.new"
	planName  = "restore.json"
	// asidePrefix begins the names of folders with what was there before.
	asidePrefix = "before-restore-"
)

// plan is what is left to be done once everything is made.
type plan struct {
	// What names the snapshot, for people.
	What  string `json:"what"`
	Moves []move `json:"moves"`
	// Aside is the folder with what was there before, "" if nothing was.
	Aside string `json:"aside,omitempty"`
}

// move puts New in the place of Target, which goes to Aside. All are relative to
// <data>/server; New or Aside may be empty.
type move struct {
	New    string `json:"new,omitempty"`
	Target string `json:"target"`
	Aside  string `json:"aside,omitempty"`
}

func planPath(l paths.Layout) string { return filepath.Join(l.Server(), planName) }

// stages are the folders in which things are made.
func stages(l paths.Layout) []string {
	return []string{filepath.Join(l.Server(), stageName), filepath.Join(filepath.Dir(l.Database()), stageName)}
}

// Finish carries out a restore that was cut off after its decision, and removes
// the traces of one that was cut off before. It returns the name of the
// snapshot in the first case. The caller holds the lock of the data directory.
func Finish(l paths.Layout) (what string, err error) {
	raw, err := os.ReadFile(planPath(l))
	if errors.Is(err, os.ErrNotExist) {
		return "", clean(l)
	}
	if err != nil {
		return "", fmt.Errorf("finish restore: %w", err)
	}
	var p plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return "", fmt.Errorf("finish restore: %s cannot be read: %w", planPath(l), err)
	}
	return p.What, p.carryOut(l)
}

// carryOut may be repeated from any point of itself.
func (p plan) carryOut(l paths.Layout) error {
	for _, m := range p.Moves {
		if err := m.carryOut(l.Server()); err != nil {
			return fmt.Errorf("put the restored files in place (a repetition goes on from here): %w", err)
		}
	}
	if err := os.Remove(planPath(l)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("finish restore: %w", err)
	}
	if err := fsx.SyncDir(l.Server()); err != nil {
		return err
	}
	return clean(l)
}

func (m move) carryOut(server string) error {
	at := func(p string) string { return filepath.Join(server, p) }
	// Once the new file has left, the target is the new one.
	if m.New != "" && !exists(at(m.New)) {
		return nil
	}
	if m.Aside != "" && exists(at(m.Target)) && !exists(at(m.Aside)) {
		if err := rename(at(m.Target), at(m.Aside)); err != nil {
			return err
		}
	}
	if m.New == "" {
		return nil
	}
	return rename(at(m.New), at(m.Target))
}

// rename is durable when it returns.
func rename(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(fsx.SyncDir(filepath.Dir(to)), fsx.SyncDir(filepath.Dir(from)))
}

// decide writes the plan, and from now on the restore happens.
func (p plan) decide(l paths.Layout) error {
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("plan restore: %w", err)
	}
	return fsx.WriteFile(planPath(l), append(raw, '\n'), 0o600)
}

func clean(l paths.Layout) error {
	for _, dir := range stages(l) {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what an earlier restore left: %w", err)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
