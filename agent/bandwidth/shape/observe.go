package shape

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Prefixes of the names of our devices. Nothing else may be called so.
const (
	prefixOut = "kedge-out"
	prefixIn  = "kedge-in"
)

// aliasMark is between the name of a device of ours and what it is for, in its
// alias: so it is known under any name.
const aliasMark = ": "

func ours(name string) bool {
	return strings.HasPrefix(name, prefixOut) || strings.HasPrefix(name, prefixIn)
}

// link is a device of the namespace.
type link struct {
	name  string
	index int
	kind  string
	mtu   int
	up    bool
	alias string
	queue int
}

// kernelState is what the kernel has. Filters are those of ours.
type kernelState struct {
	links   map[int]link
	devices map[string]link
	// strays are devices of ours that somebody has renamed, by their own name.
	strays  map[string]link
	trees   map[string]tree
	clsact  map[int]bool
	ingress map[int]bool
	filters map[Filter]filter
	// marked are links whose clsact is ours, shared those where others have
	// filters.
	marked, shared map[int]bool
}

// read lists everything with one question per kind and device. Links that
// vanish meanwhile are left out.
func (c *conn) read() (*kernelState, error) {
	s := &kernelState{trees: map[string]tree{}, filters: map[Filter]filter{}, marked: map[int]bool{}, shared: map[int]bool{}}
	if err := c.readLinks(s); err != nil {
		return nil, err
	}
	q, err := c.qdiscs()
	if err != nil {
		return nil, err
	}
	s.clsact, s.ingress = q.clsact, q.ingress
	for name, d := range s.devices {
		t := tree{link: d, ours: q.trees[d.index]}
		if t.ours {
			if t.classes, err = c.classes(d.index, q.leaves[d.index]); err != nil && s.there(d.index) {
				return nil, err
			}
		}
		s.trees[name] = t
	}
	for index := range q.clsact {
		if err := c.readFilters(s, index); err != nil && s.there(index) {
			return nil, err
		}
	}
	return s, nil
}

func (c *conn) readLinks(s *kernelState) error {
	request := append([]byte(nil), nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize()...)
	const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	request = attrU32(request, unix.IFLA_EXT_MASK, skipStats)
	restart := func() { s.links, s.devices, s.strays = map[int]link{}, map[string]link{}, map[string]link{} }
	err := c.list(unix.RTM_GETLINK, request, restart, func(b []byte) {
		if len(b) < unix.SizeofIfInfomsg {
			return
		}
		info := nl.DeserializeIfInfomsg(b)
		a := attrs(b[unix.SizeofIfInfomsg:])
		d := link{
			name: a.text(unix.IFLA_IFNAME), index: int(info.Index), kind: a.nested(unix.IFLA_LINKINFO).text(nl.IFLA_INFO_KIND),
			mtu: int(a.u32(unix.IFLA_MTU)), up: info.Flags&unix.IFF_UP != 0,
			alias: a.text(unix.IFLA_IFALIAS), queue: int(a.u32(unix.IFLA_TXQLEN)),
		}
		s.links[d.index] = d
		own, _, _ := strings.Cut(d.alias, aliasMark)
		switch {
		case d.kind != "ifb":
		case ours(d.name):
			s.devices[d.name] = d
		case ours(own):
			s.strays[own] = d
		}
	})
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	return nil
}

// there asks again whether a link exists, after it made an error.
func (s *kernelState) there(index int) bool {
	_, err := netlink.LinkByIndex(index)
	return err == nil
}

func (c *conn) readFilters(s *kernelState, index int) error {
	l, err := c.filters(index)
	if err != nil {
		return err
	}
	s.marked[index], s.shared[index] = l.marked, l.others
	for _, f := range l.filters {
		if to, ok := s.links[f.to]; ok {
			f.To = to.name
		}
		s.filters[f.key()] = f
	}
	return nil
}

// key is what there can be one of.
func (f Filter) key() Filter { return Filter{Link: f.Link, Hook: f.Hook, Uplink: f.Uplink} }

// facts are those that wishes depend on.
func (s *kernelState) facts(a Abilities) Facts {
	f := Facts{Queue: a.Queue, Segment: a.Segment, Links: make(map[int]int, len(s.links))}
	for index, l := range s.links {
		f.Links[index] = l.mtu
	}
	return f
}

// state is the same as values.
func (s *kernelState) state() State {
	var all State
	for name, t := range s.trees {
		if !t.ours || !t.up {
			all.Devices = append(all.Devices, Device{Name: name + " (not set up)"})
			continue
		}
		d := Device{Name: name}
		parents := t.parents()
		for _, c := range t.classes {
			if parents[c.Minor] {
				c = c.inner()
			}
			d.Classes = append(d.Classes, c)
		}
		all.Devices = append(all.Devices, d)
	}
	for _, f := range s.filters {
		all.Hooks = append(all.Hooks, f.Filter)
	}
	all.sort()
	return all
}

// bottomUp returns minors of classes with those below first.
func bottomUp(classes map[uint16]Class) []uint16 {
	depth := func(minor uint16) (n int) {
		for minor != 0 && n <= len(classes) {
			minor, n = classes[minor].Parent, n+1
		}
		return n
	}
	var all []uint16
	for minor := range classes {
		all = append(all, minor)
	}
	slices.SortFunc(all, func(a, b uint16) int {
		if d := depth(b) - depth(a); d != 0 {
			return d
		}
		return int(a) - int(b)
	})
	return all
}
