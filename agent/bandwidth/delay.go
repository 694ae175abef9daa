package bandwidth

import (
	"slices"
	"sync"
	"time"
)

// keptDelays is how many changes the figures of [Delays] are about.
const keptDelays = 1024

// Delays says how long changes took from when the node saw them until they were
// in the kernel. Count and Sum are of all, the others of the last 1024.
type Delays struct {
	Count                    uint64
	Sum, Last, P50, P99, Max time.Duration
}

// delays measures changes. Its methods may be called from any goroutine.
type delays struct {
	mu      sync.Mutex
	waiting time.Time // when the oldest change was seen that is not applied; zero for none
	ring    []time.Duration
	count   uint64
	sum     time.Duration
}

// seen notes a change.
func (d *delays) seen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting.IsZero() {
		d.waiting = time.Now()
	}
}

// begin returns since when a change waits, zero for none. Changes from now on
// may be too late for the pass that begins.
func (d *delays) begin() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	since := d.waiting
	d.waiting = time.Time{}
	return since
}

// end ends the pass of which begin returned since.
func (d *delays) end(since time.Time, applied bool) {
	if since.IsZero() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !applied {
		d.waiting = since
		return
	}
	took := time.Since(since)
	if len(d.ring) < keptDelays {
		d.ring = append(d.ring, took)
	} else {
		d.ring[d.count%keptDelays] = took
	}
	d.count++
	d.sum += took
}

func (d *delays) figures() Delays {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == 0 {
		return Delays{}
	}
	sorted := slices.Sorted(slices.Values(d.ring))
	at := func(percent int) time.Duration { return sorted[(len(sorted)-1)*percent/100] }
	return Delays{
		Count: d.count, Sum: d.sum, Last: d.ring[(d.count-1)%keptDelays],
		P50: at(50), P99: at(99), Max: sorted[len(sorted)-1],
	}
}
