package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
)

// openWitnessed opens the durable database and begins to note, beside it, how
// far it is. ackedPath is empty without a memory file system.
func (i *instance) openWitnessed(ctx context.Context, ackedPath string) error {
	w, err := readWitness(i.path)
	if err != nil {
		return err
	}
	if w == nil {
		w = newWitness()
	}
	i.witness = w
	// Before it is forgotten that this one may take the place of another.
	if readLast(i.path).ID != w.ID {
		if err := noteLast(i.path, w); err != nil {
			return err
		}
	}
	if err := w.opening(i.path, i.relaxed()); err != nil {
		return err
	}
	if ackedPath != "" {
		last, err := readAcked(ackedPath, w.ID)
		if err != nil {
			return err
		}
		if i.acked, err = keepAcked(ackedPath, w.ID, max(last, w.Revision)); err != nil {
			return err
		}
	}
	return i.open(ctx, 0)
}

// noteOpened notes the present revision, which is on the disk. resetting says
// that the log is empty or about to be.
func (i *instance) noteOpened(ctx context.Context, resetting bool) error {
	if i.witness == nil {
		return nil
	}
	if i.kine == nil {
		return i.noteUnused(resetting)
	}
	mark, err := ensureMark(ctx, i.own)
	if err != nil {
		return err
	}
	rev, err := i.lastRevision(ctx)
	if err != nil {
		return err
	}
	i.acked.note(rev)
	if i.relaxed() {
		// What is noted must be on the disk, and so was read before.
		log, err := i.checkpoint(ctx, "PASSIVE")
		if err != nil {
			return err
		}
		if log.done < log.frames {
			mark, rev = i.witness.Mark, i.witness.Revision
		}
	}
	// An empty one needs no truncation to look like one that is lost.
	if st, err := os.Stat(i.path + "-wal"); err == nil && st.Size() == 0 {
		resetting = true
	}
	i.witness.Mark, i.witness.Relaxed = mark, i.relaxed()
	return i.witness.opened(i.path, rev, resetting)
}

// noteUnused is for a start that ended before kine had the database: nothing
// was promised, but who closes it last empties the log of the use before.
func (i *instance) noteUnused(resetting bool) error {
	if !resetting || i.witness.State != stateOpen {
		return nil
	}
	return i.witness.opened(i.path, 0, true)
}

// dropRest empties a log that ends with frames that do not count, before anybody
// writes over the first of them: what stays of them behind would, after another
// power cut, have to be told from transactions that were acknowledged.
func (i *instance) dropRest(ctx context.Context) error {
	if i.witness == nil {
		return nil
	}
	log, err := lookAtWAL(i.path + "-wal")
	if err != nil || log.rest == 0 {
		return err
	}
	if err := i.noteUnused(true); err != nil {
		return err
	}
	_, err = i.checkpoint(ctx, "TRUNCATE")
	return err
}

// relaxed tells that a power cut may take what was acknowledged.
func (i *instance) relaxed() bool { return i.tune.synchronous != "FULL" }

// lastRevision is read with this package's own connection, which is open when
// kine has closed.
func (i *instance) lastRevision(ctx context.Context) (rev int64, err error) {
	if err := i.own.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM kine").Scan(&rev); err != nil {
		return 0, fmt.Errorf("read last revision: %w", err)
	}
	return rev, nil
}

// ensureMark returns the number by which a database is known, and gives it one
// if it has none. A log of another one brings another number, because SQLite
// writes the header's page with every change of the file's size. Salts of the
// log tell nothing: connections that have never emptied it choose new ones.
func ensureMark(ctx context.Context, db *sql.DB) (mark int64, err error) {
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&mark); err != nil {
		return 0, fmt.Errorf("read the mark of the database: %w", err)
	}
	if mark != 0 {
		return mark, nil
	}
	return newMark(ctx, db)
}

func newMark(ctx context.Context, db *sql.DB) (int64, error) {
	mark := 1 + rand.Int64N(math.MaxInt32-1)
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", mark)); err != nil {
		return 0, fmt.Errorf("mark the database: %w", err)
	}
	return mark, nil
}

// noteSettled notes that the log is not needed any more.
func (i *instance) noteSettled(ctx context.Context) error {
	if i.witness == nil || i.kine == nil {
		return nil
	}
	rev, err := i.lastRevision(ctx)
	if err != nil {
		return err
	}
	if err := i.witness.settled(i.path, rev); err != nil {
		return err
	}
	return noteLast(i.path, i.witness)
}

func (i *instance) noteClosed() error {
	if i.witness == nil {
		return nil
	}
	var err error
	if i.witness.State == stateSettled {
		err = i.witness.closed(i.path)
	}
	return errors.Join(err, i.acked.close())
}
