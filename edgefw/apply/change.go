package apply

import (
	"net/netip"
	"slices"
)

// change is the difference between what a set holds and what it is to hold.
type change struct {
	add, del []netip.Prefix
}

// differ compares two sorted lists.
func differ(have, want []netip.Prefix) change {
	var c change
	have, want = trim(have, want)
	for len(have) > 0 && len(want) > 0 {
		switch order := have[0].Compare(want[0]); {
		case order == 0:
			have, want = have[1:], want[1:]
		case order < 0:
			c.del, have = append(c.del, have[0]), have[1:]
		default:
			c.add, want = append(c.add, want[0]), want[1:]
		}
	}
	c.del, c.add = append(c.del, have...), append(c.add, want...)
	return c
}

// trim leaves out what both begin and end with, which is nearly all of two long
// lists that differ in one entry.
func trim(have, want []netip.Prefix) (h, w []netip.Prefix) {
	for len(have) > 0 && len(want) > 0 && have[0] == want[0] {
		have, want = have[1:], want[1:]
	}
	for len(have) > 0 && len(want) > 0 && have[len(have)-1] == want[len(want)-1] {
		have, want = have[:len(have)-1], want[:len(want)-1]
	}
	return have, want
}

func (c change) none() bool { return len(c.add)+len(c.del) == 0 }

// mostMessages bounds changes in place: a prefix that is split into more than
// this is sooner written anew.
const mostMessages = 130

// oneStep tells whether the change has effect on packets at a single message, if
// all is added before anything is deleted: one prefix comes and all that go are
// parts of it, or one goes and all that come are parts of it.
func (c change) oneStep() bool {
	if len(c.add)+len(c.del) > mostMessages {
		return false
	}
	switch {
	case len(c.add) == 1 && within(c.del, c.add[0]):
		return true
	case len(c.del) == 1 && within(c.add, c.del[0]):
		return true
	}
	return false
}

func within(parts []netip.Prefix, whole netip.Prefix) bool {
	return !slices.ContainsFunc(parts, func(p netip.Prefix) bool {
		return p.Bits() < whole.Bits() || !whole.Contains(p.Addr())
	})
}
