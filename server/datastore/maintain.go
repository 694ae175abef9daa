package datastore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// tick is how often a database is looked at. A look writes nothing.
const tick = 2 * time.Second

// walFrameHeader precedes each page in the log (https://www.sqlite.org/fileformat2.html#wal_file_format).
const walFrameHeader = 24

// maintain looks after the database until ctx ends. Troubles go to report; nil
// when all is well again.
func (i *instance) maintain(ctx context.Context, every time.Duration, report func(error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := i.step(ctx)
		if ctx.Err() != nil {
			return
		}
		report(err)
	}
}

func (i *instance) step(ctx context.Context) error {
	if !i.care.TryLock() {
		return nil // a person has asked for it just now
	}
	defer i.care.Unlock()
	f, err := i.look(ctx)
	if err != nil {
		return fmt.Errorf("%s database %s: %w", i.name, i.path, err)
	}
	a := i.tune.rules.decide(f, &i.state)
	if err := errors.Join(i.act(ctx, a), a.trouble); err != nil {
		return fmt.Errorf("%s database %s: %w", i.name, i.path, err)
	}
	return nil
}

// look reads facts; nothing it does reaches the disk.
func (i *instance) look(ctx context.Context) (facts, error) {
	f := facts{now: time.Now()}
	log, err := i.checkpoint(ctx, "NOOP")
	if err != nil {
		return f, err
	}
	frame := int64(i.tune.pageSize + walFrameHeader)
	f.logBytes, f.pendingBytes = log.frames*frame, (log.frames-log.done)*frame
	if f.revision, err = i.kine.CurrentRevision(ctx); err != nil {
		return f, fmt.Errorf("read revision: %w", err)
	}
	if f.compactRevision, err = i.kine.GetCompactRevision(ctx); err != nil {
		return f, fmt.Errorf("read compact revision: %w", err)
	}
	err = i.own.QueryRowContext(ctx, "SELECT page_count * page_size, freelist_count * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").
		Scan(&f.pageBytes, &f.freePageBytes)
	if err != nil {
		return f, fmt.Errorf("read size: %w", err)
	}
	f.diskFree, err = FreeBytes(filepath.Dir(i.path))
	return f, err
}

// act does everything that is due, also when one part does not succeed.
func (i *instance) act(ctx context.Context, a actions) error {
	var errs []error
	if a.compactTo > 0 {
		errs = append(errs, i.compact(ctx, a.compactTo))
	}
	if a.vacuum {
		if _, err := i.own.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)); err != nil {
			errs = append(errs, fmt.Errorf("return free pages: %w", err))
		}
	}
	if a.checkpoint {
		_, err := i.checkpoint(ctx, "PASSIVE")
		noted := i.noteOpened(ctx, a.truncate)
		// Emptied without a note, it would look lost after a power cut.
		a.truncate = a.truncate && noted == nil
		errs = append(errs, err, noted)
	}
	if a.truncate {
		// The passive one moved nearly all, so writers wait for little.
		_, err := i.checkpoint(ctx, "TRUNCATE")
		errs = append(errs, err, i.noteOpened(ctx, true))
	}
	return errors.Join(errs...)
}

type walState struct {
	frames, done int64
	busy         bool // somebody was in the way
}

// checkpoint runs one of SQLite's checkpoint modes. That somebody is in the
// way is no error: the next look tries again and reports what piles up.
func (i *instance) checkpoint(ctx context.Context, mode string) (walState, error) {
	var w walState
	err := i.own.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&w.busy, &w.frames, &w.done)
	if err != nil {
		return w, fmt.Errorf("checkpoint (%s): %w", mode, err)
	}
	return w, nil
}

// compact moves the compact revision to target in small transactions. kine
// logs what went wrong but does not return it, so the revision is read back.
func (i *instance) compact(ctx context.Context, target int64) error {
	from, err := i.kine.GetCompactRevision(ctx)
	if err != nil {
		return fmt.Errorf("read compact revision: %w", err)
	}
	for rev := from; rev < target; {
		rev = min(rev+compactBatch, target)
		if _, err := i.backend.Compact(ctx, rev); err != nil {
			return fmt.Errorf("compact to revision %d: %w", rev, err)
		}
		now, err := i.kine.GetCompactRevision(ctx)
		if err != nil {
			return fmt.Errorf("read compact revision: %w", err)
		}
		if now < rev {
			return fmt.Errorf("compact to revision %d: still at %d", rev, now)
		}
		if !lifecycle.Pause(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}
