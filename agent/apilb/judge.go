package apilb

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// judgeEvery is the pace of the judge while something is good, and
	// seekEvery while nothing is.
	judgeEvery = 2 * time.Second
	seekEvery  = 100 * time.Millisecond
	// patience is for how long a request may wait, with no byte coming from the
	// same server for anybody, before that looks suspicious.
	patience = 10 * time.Second
	// drainAfter is how long connections to a server that was found down may
	// stay silent, once there is another one.
	drainAfter = 5 * time.Second
	// reportAfter is how long nothing must have been good for it to be told.
	reportAfter = 3 * time.Second
	// Bounds of the pause between two looks for a server while nothing is good:
	// with clients that are held, and without.
	seekHeld  = time.Second
	seekAlone = 15 * time.Second
)

// judge decides about the candidates until ctx ends.
func (p *pool) judge(ctx context.Context) {
	defer p.probes.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		if p.look(ctx) {
			timer.Reset(judgeEvery)
		} else {
			timer.Reset(seekEvery)
		}
	}
}

// look does what is due now and says whether a candidate is good.
func (p *pool) look(ctx context.Context) bool {
	p.mu.Lock()
	now := p.now()
	good := p.anyGood()
	for _, c := range p.list {
		p.watch(c, now)
		if p.due(c, good, now) {
			c.probing = true
			p.probes.Go(func() { p.probe(ctx, c) })
		}
	}
	p.drain(now)
	report := p.tell(good, now)
	p.mu.Unlock()
	// Without the lock: whoever is told may ask back.
	if report != nil {
		report()
	}
	return good
}

func (p *pool) anyGood() bool {
	for _, c := range p.list {
		if c.serves() {
			return true
		}
	}
	return false
}

// watch suspects a candidate whose clients wait while it says nothing to
// anybody.
func (p *pool) watch(c *candidate, now time.Time) {
	if c.state != StateGood {
		return
	}
	for l := range c.links {
		asked := l.waiting()
		if !asked.IsZero() && now.Sub(asked) > patience && c.heard().Before(asked) {
			p.suspect(c, errSilent)
			return
		}
	}
}

var errSilent = errors.New("requests wait and nothing comes back")

// due says whether c is to be probed now.
func (p *pool) due(c *candidate, good bool, now time.Time) bool {
	switch {
	case c.probing || c.state == StateGood:
		return false
	case c.state == StateSuspect || good:
		return !now.Before(c.next)
	}
	return !now.Before(c.seek)
}

// urge brings the next look forward when a client begins to wait. The lock is
// held.
func (p *pool) urge(now time.Time) {
	soon := now.Add(rand.N(seekHeld))
	for _, c := range p.list {
		if c.state == StateDown && c.seek.After(soon) {
			c.seek = soon
		}
	}
}

// pause is how long to wait for the next look at a candidate while nothing is
// good: anywhere below a bound that doubles, so that nodes which lost their
// server together do not come back together.
func (p *pool) pause() time.Duration {
	last := seekAlone
	if p.waiting > 0 {
		last = seekHeld
	}
	p.tries++
	return rand.N(min(last, seekEvery<<min(p.tries, 10))) + time.Millisecond
}

// probe asks who is at c, and judges.
func (p *pool) probe(ctx context.Context, c *candidate) {
	own, cancel := context.WithTimeout(ctx, p.patienceOfProbe())
	defer cancel()
	err := p.cfg.Dialer.Prove(own, c.addr)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	c.probing = false
	suspected, unproven := c.state == StateSuspect, c.state == StateUnproven
	since := c.since
	p.mu.Unlock()
	if err == nil {
		p.worked(c)
		if suspected {
			p.absolve(c)
		}
		if unproven {
			p.save()
		}
		return
	}
	p.failed(c, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if unproven {
		c.seek = p.now().Add(seekAlone)
	} else {
		c.seek = p.now().Add(p.pause())
	}
	if suspected {
		dropSilent(c, since)
	}
}

// patienceOfProbe is short at first: after a short cut a new attempt gets
// through before the kernel repeats the SYN of an old one.
func (p *pool) patienceOfProbe() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(proveFirst+time.Duration(p.tries)*time.Second, proveTimeout)
}

// absolve forgets the requests that raised suspicion: their server answers, so
// they wait for something that takes its time.
func (p *pool) absolve(c *candidate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range c.links {
		l.asked.Store(0)
	}
}

// dropSilent ends the links on which nothing has come back since then.
func dropSilent(c *candidate, since time.Time) {
	for l := range c.links {
		if l.lastBack().Before(since) {
			l.drop()
		}
	}
}

// drain ends links to servers that are down, and leads clients back to the
// user's own address when that has been good for long enough: one at a time, so
// that nothing stampedes.
func (p *pool) drain(now time.Time) {
	best := p.list[0]
	for _, c := range p.list {
		if c.state == StateGood && c.rank() < best.rank() {
			best = c
		}
	}
	if best.state != StateGood {
		return
	}
	for _, c := range p.list {
		switch {
		case c == best:
		case c.state == StateDown && now.Sub(c.since) > drainAfter:
			dropSilent(c, c.since)
		case best.given && now.Sub(best.good) > steadyAfter && now.Sub(p.led) >= judgeEvery:
			for l := range c.links {
				p.led = now
				l.drop()
				break
			}
		}
	}
}

// tell returns what is to be reported, if anything.
func (p *pool) tell(good bool, now time.Time) func() {
	switch {
	case good && p.told:
		p.told = false
		return func() { p.cfg.Report(nil) }
	case !good && p.lost.IsZero():
		p.lost = now
	case !good && !p.told && now.Sub(p.lost) > reportAfter:
		p.told = true
		err := p.trouble()
		return func() { p.cfg.Report(err) }
	}
	return nil
}
