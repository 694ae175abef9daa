package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/resident"
)

const (
	// startHeap is how far the heap may grow, in bytes, before the collector
	// works while the daemon starts. A running server needs that much resident
	// memory anyway, and collecting while everything is being built costs a
	// tenth of the start.
	startHeap = 160 << 20
	// startLive ends that, in bytes of live heap: a collector held to startHeap
	// would have to run all the time.
	startLive = startHeap / 2
	// startPatience is when a daemon that still waits for a part, such as an
	// agent for its servers, is treated as one that has started.
	startPatience = 2 * time.Minute
	// idleGCPercent trades a little processor time of a mostly idle process for
	// memory.
	idleGCPercent = 50
	// settleAfter is when a daemon whose parts are all ready has done what it
	// does only once: lists for its caches, first syncs, imports.
	settleAfter = 30 * time.Second
	// trimEvery bounds how long the memory of a busy hour stays with an idle
	// daemon.
	trimEvery = 10 * time.Minute
)

// tuneStart puts the collector off until the daemon has started, unless
// somebody has set it (GOGC, GOMEMLIMIT). It returns what ends that, which may
// be called again.
func tuneStart() (settled func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	unlimited := debug.SetMemoryLimit(startHeap)
	debug.SetGCPercent(-1)
	return func() {
		debug.SetMemoryLimit(unlimited)
		debug.SetGCPercent(idleGCPercent)
	}
}

// liveHeap is what the last collection found in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// trim gives memory back that only the start needed, and again now and then.
// settled ends what [tuneStart] began.
func (d *daemon) trim(ctx context.Context, settled func()) {
	if !d.awaitStart(ctx, settled) {
		return
	}
	for wait := settleAfter; ; wait = trimEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		settled()
		if err := resident.Trim(); err != nil {
			d.log.Debug("memory is not given back", "error", err)
		}
	}
}

// awaitStart waits until every component is ready, but not for ever. It
// returns false when ctx ends first.
func (d *daemon) awaitStart(ctx context.Context, settled func()) bool {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	giveUp := time.Now().Add(startPatience)
	for !d.allReady() && time.Now().Before(giveUp) {
		if liveHeap() > startLive {
			settled()
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

func (d *daemon) allReady() bool {
	for _, s := range d.group.Status() {
		if s.State != lifecycle.StateReady {
			return false
		}
	}
	return true
}
