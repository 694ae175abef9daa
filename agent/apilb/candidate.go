package apilb

import (
	"sync/atomic"
	"time"
)

// State is what is thought of a candidate.
type State string

// The states of a candidate.
const (
	// StateUnproven is a learned address where nobody has proven to be the
	// cluster yet. It gets no client.
	StateUnproven State = "unproven"
	// StateGood is in use, or would be.
	StateGood State = "good"
	// StateSuspect has requests that wait for too long; a probe decides.
	StateSuspect State = "suspect"
	// StateDown did not answer.
	StateDown State = "down"
)

const (
	// probeEvery is the least time between probes of what is not in use.
	probeEvery = time.Minute
	// proofLast is the longest time between attempts to prove a learned
	// address, which is often a private one that no edge node can reach.
	proofLast = time.Hour
	// steadyAfter is how long a candidate must have been good for its former
	// failures to be forgotten, and for connections to be led back to it.
	steadyAfter = 5 * time.Minute
	// distrustLast is the longest time that a candidate which comes and goes
	// has to wait for its next chance.
	distrustLast = 16 * time.Minute
)

// candidate is one address of a server. The pool's lock guards it.
type candidate struct {
	addr string
	// given is true for the user's own address, which is preferred and needs
	// no proof to be tried: the dialer knows whom it reaches.
	given bool

	state State
	since time.Time
	good  time.Time // when it was found good after something else than suspicion
	err   error     // the latest

	next    time.Time     // not probed before
	seek    time.Time     // the same while nothing is good
	wait    time.Duration // between probes
	probing bool

	kept  bool // was proven by an earlier run
	links map[*link]struct{}
	back  atomic.Int64 // when a byte came last, in nanoseconds since 1970
}

func newCandidate(addr string, given bool, now time.Time) *candidate {
	c := &candidate{addr: addr, given: given, state: StateUnproven, since: now, wait: probeEvery, links: map[*link]struct{}{}}
	if given {
		c.state = StateDown // until it was reached
	}
	return c
}

// serves says whether clients are sent there.
func (c *candidate) serves() bool { return c.state == StateGood || c.state == StateSuspect }

// heard is when a byte came last.
func (c *candidate) heard() time.Time { return time.Unix(0, c.back.Load()) }

// enter changes the state and says whether it was another one.
func (c *candidate) enter(s State, now time.Time) bool {
	if c.state == s {
		return false
	}
	c.state, c.since = s, now
	return true
}

// rank orders candidates: good ones first, and among them the user's own.
func (c *candidate) rank() int {
	r := map[State]int{StateGood: 0, StateSuspect: 2, StateDown: 4, StateUnproven: 6}[c.state]
	if !c.given {
		r++
	}
	return r
}

// failed notes a failure at now. A candidate that fails soon after it was
// found good waits longer for its next chance, so that clients do not go to
// and fro.
func (c *candidate) failed(err error, now time.Time) (changed bool) {
	c.err = err
	if c.state == StateUnproven {
		c.wait = min(2*c.wait, proofLast)
		c.next = now.Add(c.wait)
		return false
	}
	if c.state != StateDown {
		if now.Sub(c.good) < steadyAfter {
			c.wait = min(2*c.wait, distrustLast)
		} else {
			c.wait = probeEvery
		}
	}
	c.next = now.Add(c.wait)
	return c.enter(StateDown, now)
}

// worked notes that the candidate was reached.
func (c *candidate) worked(now time.Time) (changed bool) {
	c.err = nil
	if c.state != StateGood && c.state != StateSuspect {
		c.good = now
	}
	return c.enter(StateGood, now)
}
