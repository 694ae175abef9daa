package datastore

import (
	"fmt"
	"time"
)

const (
	// retainRevisions of history stay readable for watchers that lag.
	retainRevisions = 1000
	// compactBatch revisions go in one transaction, with a pause between two,
	// so that writers never wait long.
	compactBatch = 500
	// vacuumPages are given back to the file system in one step.
	vacuumPages = 256
)

// rules say when something is done to a database. Sizes are bytes.
type rules struct {
	checkpointAt    int64         // log content that is worth a checkpoint at once
	checkpointEvery time.Duration // oldest content the log may keep
	truncateAt      int64         // log size at which writers are held up to reset it
	truncateEvery   time.Duration // shortest time between two such tries, of which a reader makes each last two seconds
	compactEvery    time.Duration // shortest time between two compactions
	compactSlack    int64         // revisions beyond the retained ones worth a compaction
	stallAfter      time.Duration // a due compaction that did not advance for this long is a trouble
	vacuumAt        int64         // free space inside the file worth returning
}

// facts are what one look at a database found.
type facts struct {
	now             time.Time
	logBytes        int64 // written to the log since its last reset
	pendingBytes    int64 // of these, not yet in the database file
	revision        int64
	compactRevision int64
	pageBytes       int64 // size of the database file
	freePageBytes   int64 // of these, unused
	diskFree        int64
}

// watchState is what is remembered between two looks.
type watchState struct {
	lastCheckpoint  time.Time // last time nothing was pending
	lastTruncation  time.Time // last attempt
	lastCompaction  time.Time // last attempt
	lastAdvance     time.Time // last time compaction was not due or moved on
	compactRevision int64
	compactTarget   int64 // revision that was current at lastCompaction
}

func newWatchState(now time.Time) watchState {
	return watchState{lastCheckpoint: now, lastCompaction: now, lastAdvance: now}
}

// actions are what to do now.
type actions struct {
	checkpoint bool
	truncate   bool  // after the checkpoint
	compactTo  int64 // zero: nothing
	vacuum     bool
	trouble    error
}

// decide compares facts with rules. It is pure; s is updated in place.
func (r rules) decide(f facts, s *watchState) actions {
	var a actions
	if f.pendingBytes == 0 {
		s.lastCheckpoint = f.now
	}
	if a.truncate = f.logBytes >= r.truncateAt && f.now.Sub(s.lastTruncation) >= r.truncateEvery; a.truncate {
		s.lastTruncation = f.now
	}
	a.checkpoint = a.truncate || f.pendingBytes >= r.checkpointAt ||
		(f.pendingBytes > 0 && f.now.Sub(s.lastCheckpoint) >= r.checkpointEvery)
	a.compactTo = r.compaction(f, s)
	a.vacuum = f.freePageBytes >= r.vacuumAt && f.freePageBytes*4 >= f.pageBytes
	a.trouble = r.trouble(f, s)
	return a
}

// compaction keeps retainRevisions and, as etcd's clients expect, everything
// that was current at the compaction before.
func (r rules) compaction(f facts, s *watchState) int64 {
	due := f.revision-f.compactRevision >= retainRevisions+r.compactSlack
	if !due || f.compactRevision != s.compactRevision {
		s.lastAdvance = f.now
	}
	s.compactRevision = f.compactRevision
	if f.now.Sub(s.lastCompaction) < r.compactEvery {
		return 0
	}
	target := min(s.compactTarget, f.revision-retainRevisions)
	s.lastCompaction, s.compactTarget = f.now, f.revision
	if !due || target <= f.compactRevision || f.diskFree < minFreeRun {
		return 0
	}
	return target
}

func (r rules) trouble(f facts, s *watchState) error {
	switch {
	case f.diskFree < minFreeRun:
		return fmt.Errorf("disk nearly full: %d MiB free: free some space, writes will fail soon", f.diskFree>>20)
	case f.logBytes >= 4*r.truncateAt:
		return fmt.Errorf("write-ahead log has grown to %d MiB: a reader keeps it from being reset", f.logBytes>>20)
	case f.now.Sub(s.lastAdvance) >= r.stallAfter:
		return fmt.Errorf("compaction stalled for %s at revision %d, now %d: history uses more and more space",
			f.now.Sub(s.lastAdvance).Round(time.Second), f.compactRevision, f.revision)
	}
	return nil
}
