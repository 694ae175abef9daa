package datastore

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/kedge-io/kedge/internal/fsx"
)

// Where the use of a database is, as its witness says.
const (
	stateOpening = "opening" // about to be opened; nothing was promised since it was closed
	stateOpen    = "open"    // what was promised may be in the log only
	stateSettled = "settled" // the log went into the database whole and may go
	stateClosed  = "closed"  // closed; the file is as Size and Sum say
)

// maxSummed bounds in bytes the file whose sum is taken at a stop, which has
// but seconds.
const maxSummed = 512 << 20

// witness is what is known of a database beside it: which one it is, how far
// it was, and whether its log is needed. It costs one small write at each
// checkpoint, and none for a transaction.
type witness struct {
	Version int `json:"version"`
	// ID is another for each database, and another after a restore.
	ID    string `json:"id"`
	State string `json:"state"`
	// Revision was there when this was written.
	Revision int64 `json:"revision"`
	// Mark is the number in the header of this database, and of no other; zero
	// if it has none yet.
	Mark int64 `json:"mark,omitempty"`
	// Resetting says that the log is about to be emptied.
	Resetting bool `json:"resetting,omitempty"`
	// Relaxed says that transactions may be acknowledged before they are on the
	// disk, so that a power cut may take the end of the log.
	Relaxed bool `json:"relaxed,omitempty"`
	// Size in bytes and Sum (CRC-32C) of a closed database file. Unsummed
	// where it was too large for the time that a stop has.
	Size   int64  `json:"size,omitempty"`
	Sum    uint32 `json:"sum,omitempty"`
	Summed bool   `json:"summed,omitempty"`
	// Announced says that this database begins above all that went before it, so
	// that it may take the place of any other; until it is opened.
	Announced bool `json:"announced,omitempty"`
	// Restored names the snapshot that this database is, until it is opened.
	Restored string    `json:"restored,omitempty"`
	At       time.Time `json:"at"`
}

const witnessVersion = 1

func witnessPath(database string) string { return database + ".witness" }

// readWitness returns nil when there is none, as beside a database of an
// older kedge. The error wraps [ErrChanged] if it is spoilt.
func readWitness(database string) (*witness, error) {
	raw, err := os.ReadFile(witnessPath(database))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // no witness is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("read what is known of the database: %w", err)
	}
	var w witness
	if err := json.Unmarshal(raw, &w); err != nil || w.Version != witnessVersion || w.ID == "" {
		return nil, changed(witnessPath(database), "it says how far the database was, and cannot be read by this kedge")
	}
	return &w, nil
}

func newWitness() *witness { return &witness{Version: witnessVersion, ID: uuid.NewString()} }

func (w *witness) write(database string) error {
	w.At = time.Now().UTC()
	raw, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return fmt.Errorf("note the state of the database: %w", err)
	}
	if err := fsx.WriteFile(witnessPath(database), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("note the state of the database: %w", err)
	}
	return nil
}

// opening is noted before the database is opened. After an unclean stop
// nothing changes: the log is needed still.
func (w *witness) opening(database string, relaxed bool) error {
	needed := w.State == stateOpen || w.State == stateOpening
	if needed && (w.Relaxed || !relaxed) {
		return nil
	}
	w.Relaxed = relaxed
	if !needed {
		w.State, w.Resetting, w.Restored, w.Announced = stateOpening, false, "", false
	}
	return w.write(database)
}

// opened is noted once a write was made, and again when a checkpoint has made
// revision durable in any case.
func (w *witness) opened(database string, revision int64, resetting bool) error {
	w.State, w.Revision, w.Resetting = stateOpen, max(w.Revision, revision), resetting
	return w.write(database)
}

func (w *witness) settled(database string, revision int64) error {
	w.State, w.Revision, w.Resetting = stateSettled, max(w.Revision, revision), false
	return w.write(database)
}

// closed is noted when nobody has the database open any more. A log that is
// still there belongs to a reader elsewhere, and then the state stays settled.
func (w *witness) closed(database string) error {
	if exists(database + "-wal") {
		return nil
	}
	var err error
	if w.Size, w.Sum, w.Summed, err = sumFile(database, maxSummed); err != nil {
		return err
	}
	w.State = stateClosed
	return w.write(database)
}

// sumFile returns size and CRC-32C of a file, which every processor of the
// last ten years counts faster than a disk reads. Above limit bytes only the
// size.
func sumFile(path string, limit int64) (size int64, sum uint32, summed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, false, fmt.Errorf("sum database: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, false, fmt.Errorf("sum database: %w", err)
	}
	if limit > 0 && st.Size() > limit {
		return st.Size(), 0, false, nil
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if size, err = io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return 0, 0, false, fmt.Errorf("sum database %s: %w", path, err)
	}
	return size, h.Sum32(), true, nil
}
