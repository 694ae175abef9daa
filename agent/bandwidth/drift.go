package bandwidth

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/shape"
)

const (
	// driftPause is how long events of the kernel wait after something was
	// mended, or could not be: somebody who takes things away again and again is
	// not fought with all that a machine has.
	driftPause = time.Second
	// eventPause is the shortest time between two looks because of events: some
	// links tell of themselves all the time.
	eventPause = 200 * time.Millisecond
)

// drift is what somebody else changes in the kernel. Its methods may be called
// from any goroutine.
type drift struct {
	log  *slog.Logger
	wake chan<- struct{}

	mu     sync.Mutex
	mended time.Time
	looked time.Time
	// unable tells that the kernel lacks what is needed. To ask it makes events,
	// too, so these count for nothing then.
	unable  bool
	lasting bool
	due     *time.Timer
	count   uint64
}

// result takes in how a pass went that had to change things, drifted ones if
// nobody wished that.
func (d *drift) result(things int, drifted bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lacks := (*shape.Missing)(nil)
	d.unable = errors.As(err, &lacks)
	if err != nil {
		d.mended = time.Now()
	}
	if !drifted {
		d.lasting = d.lasting && time.Since(d.mended) < 2*lookAfter
		return
	}
	if !d.lasting {
		d.log.Warn("something else changed what kedge has in the kernel for bandwidth, mended", "things", things)
	}
	d.mended, d.lasting = time.Now(), true
	d.count++
}

// event is told by the kernel, also about what this process does.
func (d *drift) event() {
	d.mu.Lock()
	defer d.mu.Unlock()
	wait := max(driftPause-time.Since(d.mended), eventPause-time.Since(d.looked))
	switch {
	case d.unable:
	case wait <= 0:
		d.looked = time.Now()
		notify(d.wake)
	case d.due == nil:
		d.due = time.AfterFunc(wait, func() {
			d.mu.Lock()
			d.due, d.looked = nil, time.Now()
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
