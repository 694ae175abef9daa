package datastore

import (
	"context"
	"errors"
	"fmt"
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
	if err := w.opening(i.path); err != nil {
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
	rev, err := i.kine.CurrentRevision(ctx)
	if err != nil {
		return fmt.Errorf("read revision: %w", err)
	}
	return i.witness.opened(i.path, rev, resetting)
}

// noteSettled notes that the log is not needed any more. kine has closed, so
// its revision is read with this package's own connection.
func (i *instance) noteSettled(ctx context.Context) error {
	if i.witness == nil || i.kine == nil {
		return nil
	}
	var rev int64
	err := i.own.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM kine").Scan(&rev)
	if err != nil {
		return fmt.Errorf("read last revision: %w", err)
	}
	return i.witness.settled(i.path, rev)
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
