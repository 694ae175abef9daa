package bandwidth

import (
	"time"

	"github.com/kedge-io/kedge/internal/bitrate"
)

const (
	// throttledFor is how long something must be at its ceiling before an event
	// says so, throttledAgain how long the next event waits.
	throttledFor   = 5 * time.Minute
	throttledAgain = time.Hour
	// throttledMost is which share of that time counts as most of it, in percent.
	throttledMost = 80
	// ceilingFrom is how near to a ceiling is at it, in percent: counters are
	// those of packets with their headers, and a look may be a little late.
	ceilingFrom = 90
)

// load is what a class did since the look before.
type load struct {
	// rate is what passed, ceil what may; drops are packets that found no room.
	rate, ceil bitrate.Rate
	drops      uint64
}

// throttled tells whether the class was held back.
func (l load) throttled() bool {
	return l.ceil > 0 && l.drops > 0 && l.rate*100 >= l.ceil*ceilingFrom
}

// spell is one stretch of time between two looks.
type spell struct {
	end       time.Time
	lasted    time.Duration
	throttled bool
}

// history is what is remembered of one class.
type history struct {
	spells []spell
	told   time.Time
}

// patience finds what is held back for long. The zero value is ready for use.
type patience struct {
	classes map[string]*history
}

// look takes the loads of a stretch of time that ends now, by class, and returns
// the classes that somebody should be told of. What is missing is forgotten.
func (p *patience) look(now time.Time, lasted time.Duration, loads map[string]load) []string {
	if p.classes == nil {
		p.classes = map[string]*history{}
	}
	for class := range p.classes {
		if _, ok := loads[class]; !ok {
			delete(p.classes, class)
		}
	}
	var tell []string
	for class, l := range loads {
		h := p.classes[class]
		if h == nil {
			h = &history{}
			p.classes[class] = h
		}
		h.add(spell{end: now, lasted: lasted, throttled: l.throttled()})
		if h.most() && (h.told.IsZero() || now.Sub(h.told) >= throttledAgain) {
			h.told = now
			tell = append(tell, class)
		}
	}
	return tell
}

// add keeps as many spells as it takes to cover throttledFor.
func (h *history) add(s spell) {
	h.spells = append(h.spells, s)
	for len(h.spells) > 1 && s.end.Sub(h.spells[0].end) >= throttledFor {
		h.spells = h.spells[1:]
	}
}

// most tells whether the class was held back for most of throttledFor.
func (h *history) most() bool {
	var all, held time.Duration
	for _, s := range h.spells {
		all += s.lasted
		if s.throttled {
			held += s.lasted
		}
	}
	return all >= throttledFor && held*100 >= all*throttledMost
}
