package bandwidth

import (
	"log/slog"
	"sync"
	"time"
)

// driftPause is how long events of the kernel may wait after something was
// mended: somebody who takes things away again and again is not fought with all
// that a machine has.
const driftPause = time.Second

// drift is what somebody else changes in the kernel. Its methods may be called
// from any goroutine.
type drift struct {
	log  *slog.Logger
	wake chan<- struct{}

	mu      sync.Mutex
	mended  time.Time
	lasting bool
	due     *time.Timer
	count   uint64
}

// found says that a pass had to mend that many things.
func (d *drift) found(things int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.lasting {
		d.log.Warn("something else changed what kedge has in the kernel for bandwidth, mended", "things", things)
	}
	d.mended, d.lasting = time.Now(), true
	d.count++
}

// over says that a pass found everything as it was left, or changed it itself.
func (d *drift) over() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lasting = d.lasting && time.Since(d.mended) < 2*lookAfter
}

// event is told by the kernel, also about what this process does.
func (d *drift) event() {
	d.mu.Lock()
	defer d.mu.Unlock()
	wait := driftPause - time.Since(d.mended)
	switch {
	case wait <= 0:
		notify(d.wake)
	case d.due == nil:
		d.due = time.AfterFunc(wait, func() {
			d.mu.Lock()
			d.due = nil
			d.mu.Unlock()
			notify(d.wake)
		})
	}
}

// stop ends what waits.
func (d *drift) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.due != nil {
		d.due.Stop()
	}
}

// times is how often something was mended.
func (d *drift) times() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}
