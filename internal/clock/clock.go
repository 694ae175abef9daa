package clock

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Epoch is the earliest time that a clock may show: kedge did not exist before.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// tolerance is how far two clocks may differ before it matters: certificates
	// begin in the past and are renewed long before their end.
	tolerance = 5 * time.Second
	// maxAhead is how far the clock may be beyond what was seen last. Machines lie
	// on shelves for years; one that lay longer has to learn the time anew.
	maxAhead = 5 * 365 * 24 * time.Hour
)

// Clock tells the time. It is safe for concurrent use.
type Clock struct {
	path   string
	wall   func() time.Time
	synced func() bool
	start  time.Time // for its monotonic reading

	mu      sync.Mutex
	floor   time.Time // what it was at least at the start
	reason  string    // how floor is known
	remedy  string    // what helps if that is wrong
	learned *learned
	saved   time.Time // what the file says
}

// learned is what a server said, and what the machine's clock showed then.
type learned struct {
	time, wall time.Time
	at         time.Time // for its monotonic reading
}

// Open returns the clock of this machine. path is the file of the time that was
// seen last, which may be missing or spoilt; built is the date of this program,
// zero when it is not known; wall is the machine's clock, nil for the system's.
func Open(path string, built time.Time, wall func() time.Time) *Clock {
	if wall == nil {
		wall = time.Now
	}
	// Without its monotonic reading a time does not hide that the clock was set.
	shown := func() time.Time { return wall().Round(0) }
	c := &Clock{path: path, wall: shown, synced: synchronised, start: time.Now()}
	c.floor, c.reason = Epoch, "there was no kedge before"
	if built.After(c.floor) {
		c.floor, c.reason = built, "this kedge was built at"
	}
	if seen, err := read(path); err == nil {
		c.saved = seen
		if seen.After(c.floor) {
			c.floor, c.reason, c.remedy = seen, "kedge ran here until", fmt.Sprintf("; if it was ahead then, remove %s and restart kedge", path)
		}
	}
	return c
}

// Now returns the time, as well as it is known.
func (c *Clock) Now() time.Time {
	now, _ := c.look()
	return now
}

// Trouble is nil while the machine's clock can be right, else a [*WrongError].
func (c *Clock) Trouble() error {
	_, wrong := c.look()
	if wrong == nil {
		return nil
	}
	return wrong
}

// Learn takes the time that a server showed who has proven that it is one. It
// counts until somebody sets the machine's clock.
func (c *Clock) Learn(t time.Time) {
	wall := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learned = &learned{time: t, wall: wall, at: time.Now()}
}

func (c *Clock) look() (time.Time, *WrongError) {
	wall := c.wall()
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.learned; l != nil {
		gone := time.Since(l.at)
		if differ(wall, l.wall.Add(gone)) {
			c.learned = nil // the clock was set meanwhile
		} else if now := l.time.Add(gone); differ(wall, now) {
			return now, &WrongError{Machine: wall, Used: now, Reason: "the server's clock shows"}
		} else {
			return wall, nil
		}
	}
	floor := c.floor.Add(time.Since(c.start))
	behind, ahead := wall.Before(floor.Add(-tolerance)), wall.After(floor.Add(maxAhead))
	if (!behind && !ahead) || c.synced() {
		return wall, nil
	}
	return floor, &WrongError{Machine: wall, Used: floor, Reason: c.reason, Remedy: c.remedy}
}

func differ(a, b time.Time) bool { return a.Sub(b).Abs() > tolerance }

// synchronised says whether somebody keeps the kernel's clock right (adjtimex(2)).
func synchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

// WrongError tells that the machine's clock cannot be right.
type WrongError struct {
	// Machine is what the clock shows, Used what kedge goes by instead.
	Machine, Used time.Time
	// Reason says how that is known.
	Reason string
	// Remedy is what helps if it is Used that is wrong; it may be empty.
	Remedy string
}

// Error implements error.
func (e *WrongError) Error() string {
	return fmt.Sprintf("this machine's clock shows %s, but %s %s: kedge goes by that; set the clock (timedatectl set-ntp true, or date -s)%s",
		e.Machine.UTC().Format(time.RFC3339), e.Reason, e.Used.UTC().Format(time.RFC3339), e.Remedy)
}
