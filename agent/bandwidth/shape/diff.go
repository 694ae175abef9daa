package shape

import (
	"slices"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// grow are the messages that make the tree of a device have all that is wanted,
// parents before children. What is right already has none.
func grow(have tree, want Device) []message {
	var out []message
	if !have.ours {
		out = append(out, addTree(have.link))
	}
	parents := have.parents()
	for _, c := range topDown(want.Classes) {
		old, there := have.classes[c.Minor]
		if there && old.Parent != c.Parent { // HTB cannot move a class
			out = append(out, removeClass(have.link, c.Minor))
			old, there = Class{}, false
		}
		if !there || !sameNumbers(old, c) {
			out = append(out, setClass(have.link, c))
		}
		if c.Leaf != nil && !parents[c.Minor] { // else its children must go first
			out = append(out, growLeaf(have.link, old.Leaf, c)...)
		}
	}
	return out
}

// parents are the classes that have children.
func (t tree) parents() map[uint16]bool {
	all := map[uint16]bool{}
	for _, c := range t.classes {
		all[c.Parent] = true
	}
	return all
}

// late tells that a leaf that is wanted has children now, so that its queue can
// only be made once they are gone.
func late(have tree, want Device) bool {
	parents := have.parents()
	return slices.ContainsFunc(want.Classes, func(c Class) bool { return c.Leaf != nil && parents[c.Minor] })
}

func growLeaf(d link, have *Leaf, c Class) []message {
	switch {
	case have == nil:
		return setLeaf(d, c)
	case *have == *c.Leaf:
		return nil
	case have.Kind != c.Leaf.Kind || have.Segmented != c.Leaf.Segmented:
		// Its handle is taken by a queue of another kind.
		return append([]message{removeLeaf(d, c.Minor)}, setLeaf(d, c)...)
	}
	return setLeaf(d, c)
}

func sameNumbers(have, want Class) bool {
	if want.Leaf == nil {
		return have.inner() == want
	}
	have.Leaf = want.Leaf
	return have == want
}

// topDown returns classes with parents before children.
func topDown(classes []Class) []Class {
	byMinor := map[uint16]Class{}
	for _, c := range classes {
		byMinor[c.Minor] = c
	}
	order := bottomUp(byMinor)
	slices.Reverse(order)
	out := make([]Class, 0, len(order))
	for _, minor := range order {
		out = append(out, byMinor[minor])
	}
	return out
}

// surplus are the classes of a tree that are not wanted, children first.
func surplus(have tree, want Device) []uint16 {
	wanted := map[uint16]bool{}
	for _, c := range want.Classes {
		wanted[c.Minor] = true
	}
	left := map[uint16]Class{}
	for minor, c := range have.classes {
		if !wanted[minor] {
			left[minor] = c
		}
	}
	return bottomUp(left)
}

// deviceNamed finds the device of a wish.
func (s State) deviceNamed(name string) (Device, bool) {
	i := slices.IndexFunc(s.Devices, func(d Device) bool { return d.Name == name })
	if i < 0 {
		return Device{}, false
	}
	return s.Devices[i], true
}

// aliasOf says whose a device is, for people who read ip-link(8).
func aliasOf(p plan.Plan, name string) string {
	for _, u := range p.Uplinks {
		for d, t := range u.Trees {
			if t.Device == name {
				return name + aliasMark + [...]string{"egress", "ingress"}[d] + " over " + u.Device
			}
		}
	}
	return name + aliasMark
}
