package shape

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// State is what kedge has, or is to have, in the kernel for bandwidth, but for
// the tables of the classification.
type State struct {
	Devices []Device
	Hooks   []Filter
}

// Device is an IFB device with a tree.
type Device struct {
	Name string
	// Classes are sorted by minor.
	Classes []Class
}

// Class is a class as the kernel has it; see [plan.Class] for the fields.
type Class struct {
	Minor, Parent          uint16
	Rate, Ceil             bitrate.Rate
	Priority               uint8
	Quantum, Burst, Cburst uint32
	// Leaf is its queue; nil for inner classes.
	Leaf *Leaf
}

// inner is c without what HTB only looks at in leaves, whose priority and
// quantum count at all levels: it takes them of an inner class when that is
// made, and no change later.
func (c Class) inner() Class {
	c.Priority, c.Quantum, c.Leaf = 0, 0, nil
	return c
}

// Leaf is the queue of a class that is nobody's parent.
type Leaf struct {
	// Kind is "bfifo" or "fq_codel", Segmented tells that a TBF above it cuts
	// packets that were joined for the way through the host (GSO).
	Kind      string
	Segmented bool
	// Limit is its length in bytes, Largest the longest packet that is not cut.
	Limit, Largest uint32
}

// Filter sends packets of a link through a device.
type Filter struct {
	Link int
	Hook Hook
	// Uplink is the position of the uplink in the plan.
	Uplink int
	// To is the name of the IFB device.
	To string
}

// String is one line for each thing, sorted; equal texts are equal states.
func (s State) String() string {
	var b strings.Builder
	for _, d := range s.Devices {
		fmt.Fprintf(&b, "device %s htb %x: default %x\n", d.Name, plan.Major, plan.MinorHost)
		for _, c := range d.Classes {
			fmt.Fprintf(&b, "  %s\n", c)
		}
	}
	for _, f := range s.Hooks {
		fmt.Fprintf(&b, "link %d %s %d -> %s\n", f.Link, f.Hook, f.Uplink, f.To)
	}
	return b.String()
}

func (c Class) String() string {
	parent := "-"
	if c.Parent != 0 {
		parent = fmt.Sprintf("%x", c.Parent)
	}
	text := fmt.Sprintf("class %x parent %s rate %d ceil %d burst %d cburst %d", c.Minor, parent, c.Rate, c.Ceil, c.Burst, c.Cburst)
	if c.Quantum != 0 {
		text += fmt.Sprintf(" prio %d quantum %d", c.Priority, c.Quantum)
	}
	if c.Leaf == nil {
		return text
	}
	text += fmt.Sprintf(" %s %d", c.Leaf.Kind, c.Leaf.Limit)
	if c.Leaf.Segmented {
		text += fmt.Sprintf(" largest %d", c.Leaf.Largest)
	}
	return text
}

// Facts are what the kernel offers and has, as far as a wish depends on it.
type Facts struct {
	// Queue is the kind of leaves, Segment tells that it can cut packets.
	Queue   string
	Segment bool
	// Links are the lengths of packets (MTU) by index of link.
	Links map[int]int
}

// Wish is the state that a plan asks for on this kernel. Links that are not
// there have no filters.
func Wish(p plan.Plan, facts Facts) State {
	var s State
	for i, u := range p.Uplinks {
		largest := facts.largest(u)
		for _, t := range u.Trees {
			if len(t.Classes) > 0 {
				s.Devices = append(s.Devices, device(t, facts, largest))
			}
		}
		s.Hooks = append(s.Hooks, hooks(i, u, facts)...)
	}
	s.sort()
	return s
}

func (s *State) sort() {
	slices.SortFunc(s.Devices, func(a, b Device) int { return cmp.Compare(a.Name, b.Name) })
	for _, d := range s.Devices {
		slices.SortFunc(d.Classes, func(a, b Class) int { return cmp.Compare(a.Minor, b.Minor) })
	}
	slices.SortFunc(s.Hooks, func(a, b Filter) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Hook, b.Hook), cmp.Compare(a.Uplink, b.Uplink))
	})
}

func device(t plan.Tree, facts Facts, largest uint32) Device {
	inner := map[uint16]bool{}
	for _, c := range t.Classes {
		inner[c.Parent] = true
	}
	d := Device{Name: t.Device}
	for _, c := range t.Classes {
		k := Class{
			Minor: c.Minor, Parent: c.Parent, Rate: whole(c.Rate), Ceil: whole(c.Ceil),
			Priority: c.Priority, Quantum: c.Quantum,
			Burst: readBack(c.Burst, c.Rate), Cburst: readBack(c.Cburst, c.Ceil),
		}
		if !inner[c.Minor] {
			k.Leaf = &Leaf{Kind: facts.Queue, Segmented: facts.Segment, Limit: c.Queue}
			if facts.Segment {
				k.Leaf.Largest = largestOf(c.Ceil, largest)
			}
		} else {
			k = k.inner()
		}
		d.Classes = append(d.Classes, k)
	}
	return d
}

// hooks are the filters that an uplink needs: a pod that nothing limits where no
// uplink is known has none.
func hooks(number int, u plan.Uplink, facts Facts) []Filter {
	needs := map[uint32][2]bool{} // by pod; 0 is the host
	need := func(pod uint32, t plan.Target) {
		n := needs[pod]
		for d := range n {
			n[d] = n[d] || t.Class[d] != 0 || t.Local[d] != 0
		}
		needs[pod] = n
	}
	for _, c := range u.Containers {
		need(c.Pod, c.Target)
	}
	for _, c := range u.Ports {
		need(c.Pod, c.Target)
	}
	var all []Filter
	add := func(link int, wanted [2]bool, at [2]Hook) {
		for _, d := range model.Directions {
			if _, there := facts.Links[link]; there && wanted[d] && len(u.Trees[d].Classes) > 0 {
				all = append(all, Filter{Link: link, Hook: at[d], Uplink: number, To: u.Trees[d].Device})
			}
		}
	}
	for _, p := range u.Pods {
		need(p.Pod, p.Target)
		add(p.Link, needs[p.Pod], [2]Hook{PodEgress, PodIngress})
	}
	host := needs[0]
	for d := range host {
		host[d] = host[d] || !u.Trees[d].Open
	}
	if u.Index != 0 {
		add(u.Index, host, [2]Hook{HostEgress, HostIngress})
	}
	return all
}
