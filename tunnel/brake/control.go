package brake

import "time"

// interval is the time of a step: several round trips of most lines.
const interval = 250 * time.Millisecond

// When there is a queue. Without a unit, figures are steps.
const (
	// slack is what a round trip may be above its minimum on top of half of
	// that, because of a busy machine or a radio.
	slack = 5 * time.Millisecond
	// onset is how long a queue stands before it counts: the beginning of a
	// stream makes one that goes by itself.
	onset = 4
	// patience is how long a queue may stand although lanes are braked; off is
	// how long the brake is off after that.
	patience, off = 20, 120
	// quiet is after how long without anything to send the cap is taken off.
	quiet = 8
	// fastest is the rate, in bytes per second, above which there is no brake:
	// there a round trip grows because of a busy machine.
	fastest = 250e6 / 8
)

// By how much lanes are braked; parts of the rate.
const (
	// drain is the time within which what is too much in a queue is to go.
	drain = time.Second
	// gentlest and hardest bound what is given up for that.
	gentlest, hardest = 0.03, 0.2
	// raise is what is given back in a step without a queue, or twice as much
	// if the round trip is within slack of its minimum.
	raise = 0.025
	// fade is by how much the line is thought slower in each step in which it
	// is not full, and follow how soon it is believed while it is.
	fade, follow = 0.01, 1. / 8
	// enough is the part of its share that a lane uses which wants more.
	enough = 0.7
	// least is the lowest cap of a lane, in bytes per second: two full packets
	// in a step are below it.
	least = 16 << 10
)

// reading is what the kernel tells of a connection.
type reading struct {
	rtt, minRTT time.Duration
	delivered   uint64 // bytes since the beginning
	full        bool   // there is more to send than the line took
}

// flow is what the control knows of a lane.
type flow struct {
	reading
	known bool    // delivered was read in the step before
	rate  float64 // bytes per second in the latest step
	cap   float64 // bytes per second; 0 for none
}

// take is told what was read, and how long after what was read before.
func (f *flow) take(r reading, took time.Duration) {
	f.rate = 0
	if f.known && took > 0 && r.delivered > f.delivered {
		f.rate = float64(r.delivered-f.delivered) / took.Seconds()
	}
	f.reading, f.known = r, true
}

// control decides the caps of the lanes of one session. Rates are bytes per
// second, the other counts are steps.
type control struct {
	mean  float64 // of all lanes, smoothed
	other float64 // the part of it of lanes that are never braked
	line  float64 // what the line is thought to carry
	cap   float64 // for all lanes; 0 for none

	standing, idle, offFor int
}

// step decides the caps of braked by what was read of them and of the others.
func (c *control) step(braked, others []*flow) {
	rtt, minRTT, full := view(braked, others)
	excess := rtt - minRTT - minRTT/2 - slack
	c.count(full && excess > 0, full)
	c.estimate(braked, others)
	switch {
	case c.offFor > 0 || c.idle >= quiet || c.line > fastest:
		c.cap = 0
	case !full:
	case excess > 0 && (c.cap > 0 || c.standing >= onset):
		to := c.line * (1 - min(max(excess.Seconds()/drain.Seconds(), gentlest), hardest))
		if c.cap == 0 || to < c.cap {
			c.cap = to
		}
	case excess <= 0 && rtt-minRTT < slack:
		c.cap *= 1 + 2*raise
	case excess <= 0:
		c.cap *= 1 + raise
	}
	if c.cap > 2*c.mean {
		c.cap = 0 // not what holds the lanes
	}
	c.share(braked)
}

// view returns the shortest round trip of the lanes that are full, and the
// least that any lane has seen.
func view(braked, others []*flow) (rtt, minRTT time.Duration, full bool) {
	for _, f := range others {
		minRTT = shorter(minRTT, f.minRTT)
	}
	for _, f := range braked {
		minRTT = shorter(minRTT, f.minRTT)
		if f.full {
			full = true
			rtt = shorter(rtt, f.rtt)
		}
	}
	return rtt, minRTT, full
}

// shorter is the smaller one of two times of which 0 is unknown.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (c *control) count(queue, full bool) {
	c.offFor = max(c.offFor-1, 0)
	c.idle++
	if full {
		c.idle = 0
	}
	if !queue {
		c.standing = 0
		return
	}
	if c.standing++; c.standing > patience {
		c.standing, c.offFor = 0, off
	}
}

func (c *control) estimate(braked, others []*flow) {
	other := total(others)
	c.other += (other - c.other) / 2
	c.mean += (total(braked) + other - c.mean) / 2
	if c.standing > onset {
		c.line += (c.mean - c.line) * follow
	} else {
		c.line *= 1 - fade
	}
	c.line = max(c.line, c.mean)
}

func total(flows []*flow) (sum float64) {
	for _, f := range flows {
		sum += f.rate
	}
	return sum
}

// share gives equal parts of the cap to the lanes, and what some do not use to
// those that want more. The lanes that are not braked come first, but not with
// more than half.
func (c *control) share(flows []*flow) {
	left := max(c.cap-c.other, c.cap/2)
	fair := left / float64(max(len(flows), 1))
	takers := 0
	for _, f := range flows {
		if f.wants(fair) {
			takers++
		} else {
			left -= f.rate
		}
	}
	for _, f := range flows {
		switch {
		case c.cap == 0:
			f.cap = 0
		case f.wants(fair):
			f.cap = max(left/float64(takers), fair, least)
		default:
			f.cap = max(fair, least)
		}
	}
}

func (f *flow) wants(fair float64) bool { return f.full && f.rate >= enough*fair }
