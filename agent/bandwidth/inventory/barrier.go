package inventory

import (
	"context"
	"sync"
)

// barrier holds up callers until a revision was reached.
type barrier struct {
	mu      sync.Mutex
	reached uint64
	moved   chan struct{} // closed and replaced at each step
	// lags tells that somebody waited in vain: then nobody waits until there
	// was a step again, so that pods pay once for a loop that is stuck.
	lags bool
}

func newBarrier() barrier { return barrier{moved: make(chan struct{})} }

func (b *barrier) reach(revision uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reached = max(b.reached, revision)
	b.lags = false
	close(b.moved)
	b.moved = make(chan struct{})
}

// await waits until the revision was reached or ctx ended. It returns true when
// it waited in vain.
func (b *barrier) await(ctx context.Context, revision uint64) (inVain bool) {
	for {
		b.mu.Lock()
		done, lags, moved := b.reached >= revision, b.lags, b.moved
		b.mu.Unlock()
		if done || lags {
			return false
		}
		select {
		case <-moved:
		case <-ctx.Done():
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lags = b.reached < revision
			return b.lags
		}
	}
}
