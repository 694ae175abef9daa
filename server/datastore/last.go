package datastore

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/fsx"
)

// last is what is known, outside of its folder, of the database that was used
// last. The witness goes where its database goes; this stays, so that a database
// that somebody has put in the place of a later one is noticed, and an older copy
// of the whole folder.
type last struct {
	// ID is that of the witness.
	ID string `json:"id"`
	// Revision was on the disk at the last start or orderly stop.
	Revision int64 `json:"revision"`
}

func lastPath(database string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(database)), "datastore-last")
}

// readLast returns nothing where nothing can be known: it guards against people,
// and the disk is guarded against elsewhere.
func readLast(database string) last {
	var l last
	raw, err := os.ReadFile(lastPath(database))
	if err != nil || json.Unmarshal(raw, &l) != nil || l.Revision < 0 {
		return last{}
	}
	return l
}

// noteLast notes w as that of the database in use, with one small write if that
// is new.
func noteLast(database string, w *witness) error {
	now := last{ID: w.ID, Revision: w.Revision}
	if readLast(database) == now {
		return nil
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("note which database is in use: %w", err)
	}
	if err := fsx.WriteFile(lastPath(database), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("note which database is in use: %w", err)
	}
	return nil
}
