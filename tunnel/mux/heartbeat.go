package mux

import (
	"fmt"
	"sync/atomic"
	"time"
)

// pulse is what a lane knows of its round trip.
//
// Only the initiator sends pings by the clock; half the frames of both ends
// doing so. The other end measures from its pong to the next ping, less the
// time that the initiator held it. All frames are urgent, so none waits behind
// more than one frame of data.
type pulse struct {
	rtt, smoothed atomic.Int64 // nanoseconds; 0 while unknown
	// unanswered counts pings since the latest pong, and at the other end
	// intervals of a ping since the latest ping.
	unanswered atomic.Int64
	// The initiator's: the stamp of the latest pong and when it came.
	echo, echoAt atomic.Int64
}

// The time that a lane may be silent on a link with a round trip of RTT is
// silenceFactor * RTT + silenceMargin, within Config.Silence and MaxSilence.
const (
	silenceFactor = 4
	silenceMargin = 3 * time.Second
)

// measured takes a round trip.
func (p *pulse) measured(rtt int64) {
	rtt = max(rtt, 1)
	p.rtt.Store(rtt)
	p.unanswered.Store(0)
	if old := p.smoothed.Load(); old > 0 {
		rtt = old + (rtt-old)/8 // RFC 6298, 2.3
	}
	p.smoothed.Store(max(rtt, 1))
}

// silence is how long nothing may come. It goes by the larger of the two round
// trips: a queue that grows must not look like a dead link. A lane that has not
// been measured yet may be the slowest.
func (l *Lane) silence() time.Duration {
	cfg := &l.session.cfg
	rtt := time.Duration(max(l.pulse.smoothed.Load(), l.pulse.rtt.Load()))
	if rtt == 0 {
		return cfg.MaxSilence
	}
	return min(max(cfg.Silence, silenceFactor*rtt+silenceMargin), cfg.MaxSilence)
}

// beat runs every Config.Ping, and when the silence has become too long.
func (l *Lane) beat() {
	s := l.session
	limit := l.silence()
	left := limit - time.Duration(s.now()-l.heard.Load())
	if left <= 0 {
		l.fail(fmt.Errorf("nothing heard from the other end for %v", limit))
		return
	}
	if l.used.Swap(false) {
		l.lastUsed.Store(s.now())
	}
	if l.retiring.Load() && l.peerRetired.Load() && !s.uses(l) {
		l.Close(ErrRetired)
	}
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	if l.out.dead != nil {
		return
	}
	if s.initiator {
		l.pingLocked()
	} else {
		l.pulse.unanswered.Add(1)
	}
	l.beats.Reset(min(s.cfg.Ping, left))
}

func (l *Lane) pingLocked() {
	now := l.session.now()
	p := ping{stamp: uint64(now)}
	if at := l.pulse.echoAt.Load(); at > 0 {
		p.echo = uint64(l.pulse.echo.Load())
		p.held = uint32(min((now-at)/int64(time.Microsecond), 1<<32-1))
	}
	l.pulse.unanswered.Add(1)
	_ = l.postLocked(true, appendPing(nil, p))
}

// pinged answers a ping. A pong that still waits is replaced: only the latest
// matters, and an end that only pings gets no memory by it.
func (l *Lane) pinged(p ping) {
	now := l.session.now()
	if p.echo > 0 && p.echo <= uint64(now) {
		l.pulse.measured(now - int64(p.echo) - int64(p.held)*int64(time.Microsecond))
	}
	l.pulse.unanswered.Store(0)
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	if l.out.dead == nil {
		l.out.pong, l.out.hasPong = pong{p.stamp, uint64(now)}, true
		l.startLocked()
	}
}

// ponged takes the answer to a ping.
func (l *Lane) ponged(p pong) {
	now := l.session.now()
	first := l.pulse.echoAt.Load() == 0
	l.pulse.echo.Store(int64(p.stamp))
	l.pulse.echoAt.Store(now)
	if p.echo > 0 && p.echo <= uint64(now) {
		l.pulse.measured(now - int64(p.echo))
	}
	if first {
		// Lets the other end measure too without waiting for the next beat.
		l.out.mu.Lock()
		defer l.out.mu.Unlock()
		l.pingLocked()
	}
}
