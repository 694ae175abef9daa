package plan

import (
	"errors"
	"fmt"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Validate reports all that the kernel would refuse or misread, joined: it is
// nil for every plan of [Make].
func (p Plan) Validate() error {
	var errs []error
	devices := map[string]bool{}
	for _, u := range p.Uplinks {
		for _, d := range model.Directions {
			t := u.Trees[d]
			if devices[t.Device] || t.Device == "" {
				errs = append(errs, fmt.Errorf("device %q has two trees or no name", t.Device))
			}
			devices[t.Device] = true
			if err := t.validate(); err != nil {
				errs = append(errs, fmt.Errorf("tree %s: %w", t.Device, err))
			}
		}
		if err := u.validate(); err != nil {
			errs = append(errs, fmt.Errorf("uplink %s: %w", u.Device, err))
		}
	}
	return errors.Join(errs...)
}

func (t Tree) validate() error {
	var errs []error
	seen, children := map[uint16]Class{}, map[uint16]int{}
	sums := map[uint16]bitrate.Rate{}
	for _, c := range t.Classes {
		if _, twice := seen[c.Minor]; twice || c.Minor == 0 {
			errs = append(errs, fmt.Errorf("minor of %q is zero or taken", c))
		}
		parent, known := seen[c.Parent]
		switch {
		case c.Parent != 0 && !known:
			errs = append(errs, fmt.Errorf("parent of %q is missing or comes later", c))
		case c.Parent != 0 && parent.Queue > 0:
			errs = append(errs, fmt.Errorf("parent of %q is a leaf", c))
		case c.Parent != 0 && c.Ceil > parent.Ceil:
			errs = append(errs, fmt.Errorf("ceiling of %q is above its parent's %s", c, parent.Ceil))
		}
		seen[c.Minor] = c
		children[c.Parent]++
		sums[c.Parent] += c.Rate
		errs = append(errs, c.validate())
	}
	for minor, parent := range seen {
		// Each rate is at least one byte per second, however little there is.
		if room := parent.Rate + minRate*bitrate.Rate(children[minor]); sums[minor] > room {
			errs = append(errs, fmt.Errorf("rates below %q are %s", parent, sums[minor]))
		}
		if parent.Queue == 0 && children[minor] == 0 {
			errs = append(errs, fmt.Errorf("%q has neither queue nor children", parent))
		}
	}
	return errors.Join(errs...)
}

func (c Class) validate() error {
	var errs []error
	complain := func(bad bool, what string) {
		if bad {
			errs = append(errs, fmt.Errorf("%q: %s", c, what))
		}
	}
	complain(c.Rate < minRate || c.Rate > c.Ceil, "rate is below a byte per second or above the ceiling")
	complain(c.Rate%8 != 0 || c.Ceil%8 != 0, "rates are no whole bytes per second")
	complain(c.Priority > 7, "the kernel knows priorities 0 to 7")
	complain(c.Quantum == 0 || c.Burst == 0 || c.Cburst == 0, "quantum or burst is zero")
	complain(c.Queue > 0 && c.Minor != MinorControl && c.Minor != MinorNames && c.Minor%step != 0, "minor of a leaf is not a multiple of 16")
	complain(c.Queue == 0 && c.Minor%step == 0, "minor of an inner class is one of a leaf")
	return errors.Join(errs...)
}

// validate looks for targets that are no leaves and names that mean two things.
func (u Uplink) validate() error {
	var errs []error
	target := func(what string, t Target) {
		for _, d := range model.Directions {
			for _, minor := range []uint16{t.Class[d], t.Local[d]} {
				if minor != 0 && !u.Trees[d].leaf(minor) {
					errs = append(errs, fmt.Errorf("%s goes to %s, which is no leaf", what, Handle(minor)))
				}
			}
		}
	}
	names := map[string]bool{}
	once := func(name string) string {
		if names[name] {
			errs = append(errs, fmt.Errorf("%s is there twice", name))
		}
		names[name] = true
		return name
	}
	for _, e := range u.Pods {
		target(once(fmt.Sprintf("pod %d", e.Pod)), e.Target)
		once(fmt.Sprintf("link %d", e.Link))
	}
	for _, e := range u.Containers {
		target(once(fmt.Sprintf("cgroup %d", e.Cgroup)), e.Target)
	}
	for _, e := range u.Ports {
		target(once(fmt.Sprintf("port %s of pod %d", PortName(e.Port), e.Pod)), e.Target)
	}
	return errors.Join(errs...)
}

func (t Tree) leaf(minor uint16) bool {
	for _, c := range t.Classes {
		if c.Minor == minor {
			return c.Queue > 0
		}
	}
	return false
}
