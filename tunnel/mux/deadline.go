package mux

import (
	"sync"
	"time"
)

// deadline is a point in time after which reads or writes do not wait. It is
// guarded by the lock that set and fire are given.
type deadline struct {
	timer   *time.Timer
	expired bool
	// generation tells a timer that fires late that it was replaced.
	generation int
}

// set replaces the point in time and calls wake if it is past already or
// changed for those who wait. It is called with mu held.
func (d *deadline) set(t time.Time, mu *sync.Mutex, wake func()) {
	d.stop()
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

func (d *deadline) fire(generation int, mu *sync.Mutex, wake func()) {
	mu.Lock()
	defer mu.Unlock()
	if generation == d.generation {
		d.expired = true
		wake()
	}
}

func (d *deadline) stop() {
	d.generation++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
