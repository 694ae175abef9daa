package apply

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func list(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return sorted(all)
}

func TestOneStepIsWhatPacketsSeeAsOne(t *testing.T) {
	for name, c := range map[string]struct {
		have, want []netip.Prefix
		one        bool
	}{
		"a new one":         {list(), list("10.0.0.0/8"), true},
		"one goes":          {list("10.0.0.0/8", "11.0.0.0/8"), list("11.0.0.0/8"), true},
		"halves are merged": {list("10.0.0.0/9", "10.128.0.0/9"), list("10.0.0.0/8"), true},
		"one half goes":     {list("10.0.0.0/8"), list("10.0.0.0/9"), true},
		"one half comes":    {list("10.0.0.0/9"), list("10.0.0.0/8"), true},
		"a whole is split":  {list("10.0.0.0/8"), list("10.0.0.0/9", "10.128.0.0/10"), true},
		"one for another":   {list("10.0.0.0/8"), list("11.0.0.0/8"), false},
		"two new ones":      {list(), list("10.0.0.0/8", "11.0.0.0/8"), false},
		"IPv6":              {list("2001:db8::/33"), list("2001:db8::/32"), true},
	} {
		if got := differ(c.have, c.want).oneStep(); got != c.one {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A packet's address must be in the set as before, or as after, after each single
// message; and all addresses change at the same message.
func TestMessagesInPlaceHaveEffectAtOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for range 20_000 {
		have, want := random(r), random(r)
		c := differ(have, want)
		if c.none() || !c.oneStep() {
			continue
		}
		tried++
		steps := inSteps(have, c)
		effects := 0
		for i := 1; i < len(steps); i++ {
			if steps[i] != steps[i-1] {
				effects++
			}
		}
		if effects > 1 || steps[len(steps)-1] != covered(want) {
			t.Fatalf("from %v to %v: %d messages have an effect", have, want, effects)
		}
	}
	if tried < 1000 {
		t.Errorf("only %d changes were in one step", tried)
	}
}

func TestDifferIsComplete(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		have, want := random(r), random(r)
		c := differ(have, want)
		got := slices.DeleteFunc(slices.Clone(have), func(p netip.Prefix) bool { return slices.Contains(c.del, p) })
		if got = sorted(append(got, c.add...)); !slices.Equal(got, want) {
			t.Fatalf("from %v to %v by %+v is %v", have, want, c, got)
		}
	}
}

// random are disjoint prefixes within 16 addresses.
func random(r *rand.Rand) []netip.Prefix {
	var all []netip.Prefix
	for at := 0; at < 16; {
		bits := 28 + r.IntN(5)
		size := 1 << (32 - bits)
		if at%size != 0 {
			continue
		}
		if r.IntN(2) == 0 {
			all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(at)}), bits))
		}
		at += size
	}
	return sorted(all)
}

func inSteps(have []netip.Prefix, c change) []uint16 {
	now := slices.Clone(have)
	steps := []uint16{covered(now)}
	for _, p := range c.add {
		now = append(now, p)
		steps = append(steps, covered(now))
	}
	for _, p := range c.del {
		now = slices.DeleteFunc(now, func(q netip.Prefix) bool { return p == q })
		steps = append(steps, covered(now))
	}
	return steps
}

// covered has a bit for each of the 16 addresses.
func covered(list []netip.Prefix) uint16 {
	var bits uint16
	for i := range 16 {
		for _, p := range list {
			if p.Contains(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})) {
				bits |= 1 << i
			}
		}
	}
	return bits
}
