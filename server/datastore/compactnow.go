package datastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Compaction is what [Store.Compact] has done to one database.
type Compaction struct {
	Before DatabaseStat  `json:"before"`
	After  DatabaseStat  `json:"after"`
	Took   time.Duration `json:"took"`
}

// Compact removes all history but the last 1,000 revisions, gives free pages
// back to the file system and empties the log, in small steps between which
// others write. With whole it also rewrites each file, which needs as much free
// space again, holds up all writers meanwhile, and gains little more.
func (s *Store) Compact(ctx context.Context, whole bool) ([]Compaction, error) {
	s.mu.Lock()
	all := s.running
	s.mu.Unlock()
	if len(all) == 0 {
		return nil, errors.New("compact: there is no open SQLite database: the datastore is external or not ready")
	}
	var out []Compaction
	for _, i := range all {
		c, err := s.compactOne(ctx, i, whole)
		if err != nil {
			return out, fmt.Errorf("compact %s database: %w", i.name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (s *Store) compactOne(ctx context.Context, i *instance, whole bool) (c Compaction, err error) {
	begin := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A stop does not wait for it.
	defer context.AfterFunc(i.life, cancel)()
	if c.Before, err = i.stat(ctx); err != nil {
		return c, err
	}
	if err := i.compactNow(ctx, c.Before, whole); err != nil {
		return c, err
	}
	c.After, err = i.stat(ctx)
	c.Took = time.Since(begin)
	return c, err
}

func (i *instance) compactNow(ctx context.Context, before DatabaseStat, whole bool) error {
	need := int64(minFreeRun)
	if whole {
		need += before.Bytes * 2
	}
	if before.DiskFree < need {
		return fmt.Errorf("%d MiB are free and %d needed, because it writes before it frees: free some space first", before.DiskFree>>20, need>>20)
	}
	i.care.Lock()
	defer i.care.Unlock()
	if target := before.Revision - retainRevisions; target > before.CompactRevision {
		if err := i.compact(ctx, target); err != nil {
			return err
		}
	}
	if whole {
		if _, err := i.own.ExecContext(ctx, "VACUUM"); err != nil {
			return fmt.Errorf("rewrite the file: %w", err)
		}
	}
	if err := i.returnPages(ctx); err != nil {
		return err
	}
	return i.act(ctx, actions{checkpoint: true, truncate: true})
}

// returnPages gives all free pages back, as long as there are fewer after each
// step.
func (i *instance) returnPages(ctx context.Context) error {
	last := int64(-1)
	for {
		var free int64
		if err := i.own.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
			return fmt.Errorf("read free pages: %w", err)
		}
		if free == 0 || (last >= 0 && free >= last) {
			return nil
		}
		last = free
		if err := i.act(ctx, actions{vacuum: true, checkpoint: true}); err != nil {
			return err
		}
		if !lifecycle.Pause(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// Offline opens the databases of a server that does not run, lets work use
// them, and closes them in order. The caller holds the lock of the data
// directory.
func Offline(ctx context.Context, cfg Config, work func(context.Context, *Store) error) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	// kine tells what it does in words for a server's log.
	logger := logrus.StandardLogger()
	defer logger.SetOutput(logger.Out)
	logger.SetOutput(io.Discard)
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	var done chan error
	err = s.run(runCtx, func() {
		done = make(chan error, 1)
		go func() {
			defer stop()
			done <- work(runCtx, s)
		}()
	})
	stop()
	if done != nil {
		err = errors.Join(<-done, err)
	}
	return err
}
