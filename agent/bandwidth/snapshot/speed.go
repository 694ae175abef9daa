package snapshot

import (
	"time"

	"github.com/kedge-io/kedge/internal/bitrate"
)

// Speed is what a class does now.
type Speed struct {
	// Rate passed in bits per second.
	Rate bitrate.Rate `json:"rate"`
	// Drops and Overlimits are per second.
	Drops      float64 `json:"drops"`
	Overlimits float64 `json:"overlimits"`
}

// Add is both together.
func (s Speed) Add(other Speed) Speed {
	return Speed{Rate: s.Rate + other.Rate, Drops: s.Drops + other.Drops, Overlimits: s.Overlimits + other.Overlimits}
}

// Speeds are those of the classes of a node.
type Speeds map[place]Speed

// place is where a class is in the kernel.
type place struct{ device, handle string }

// Between are the speeds between two snapshots of a node. A class that was not
// in both, or was made anew, has none.
func Between(before, after Node) Speeds {
	out := Speeds{}
	passed := after.Time.Sub(before.Time)
	if passed <= 0 {
		return out
	}
	was := map[place]Counters{}
	before.each(func(c Class) { was[c.place()] = c.Counters })
	after.each(func(c Class) {
		if from, ok := was[c.place()]; ok && c.Counters.Bytes >= from.Bytes && c.Counters.Drops >= from.Drops {
			out[c.place()] = c.Counters.since(from, passed)
		}
	})
	return out
}

// Of is the speed of a class.
func (s Speeds) Of(c Class) Speed { return s[c.place()] }

func (c Class) place() place { return place{c.Device, c.Handle} }

func (c Counters) since(from Counters, passed time.Duration) Speed {
	seconds := passed.Seconds()
	return Speed{
		Rate:       bitrate.Rate(float64(c.Bytes-from.Bytes) * 8 / seconds),
		Drops:      float64(c.Drops-from.Drops) / seconds,
		Overlimits: float64(c.Overlimits-min(from.Overlimits, c.Overlimits)) / seconds,
	}
}

// each calls f for all classes.
func (n Node) each(f func(Class)) {
	all := func(classes []Class) {
		for _, c := range classes {
			f(c)
		}
	}
	for _, u := range n.Uplinks {
		all(u.Classes)
	}
	for _, p := range n.Pods {
		all(p.Classes)
		all(p.Rest)
		for _, c := range p.Containers {
			all(c.Classes)
		}
	}
}
