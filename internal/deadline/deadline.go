package deadline

import (
	"sync"
	"time"
)

// Deadline is a point in time after which nobody waits. Its zero value is none.
// It is guarded by the lock that Set is given, always the same one, with which
// all methods are called.
type Deadline struct {
	timer   *time.Timer
	expired bool
	// generation tells a timer that fires late that it was replaced.
	generation int
}

// Set replaces the point in time, zero for none, and calls wake, with the lock
// held, now and once the time is past.
func (d *Deadline) Set(t time.Time, mu sync.Locker, wake func()) {
	d.Stop()
	d.expired = false
	if !t.IsZero() {
		generation := d.generation
		left := time.Until(t)
		d.expired = left <= 0
		if left > 0 {
			d.timer = time.AfterFunc(left, func() { d.fire(generation, mu, wake) })
		}
	}
	wake()
}

func (d *Deadline) fire(generation int, mu sync.Locker, wake func()) {
	mu.Lock()
	defer mu.Unlock()
	if generation == d.generation {
		d.expired = true
		wake()
	}
}

// Expired tells whether the time is past.
func (d *Deadline) Expired() bool { return d.expired }

// Stop keeps the timer from firing. Expired stays as it is.
func (d *Deadline) Stop() {
	d.generation++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
