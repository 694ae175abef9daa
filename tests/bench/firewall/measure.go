package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
)

// figures of one subject.
type figures struct {
	first, change time.Duration
	projected     bool
}

func measure(ctx context.Context, o options) error {
	subjects := []subject{
		kedge(apply.Legacy), kedge(apply.NFT),
		restore(apply.Legacy), restore(apply.NFT), nftables(),
		ruleByRule(apply.Legacy), ruleByRule(apply.NFT),
	}
	for _, n := range o.entries {
		fmt.Printf("\n### %d prefixes\n\n", n)
		fmt.Println("| | first apply, ms | to kedge | change of one, ms | to kedge |\n|---|---|---|---|---|")
		var base figures
		for i, s := range subjects {
			f, err := s.measure(ctx, o, spread(n))
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if i == 0 {
				base = f
			}
			note := ""
			if f.projected {
				note = " (projected)"
			}
			fmt.Printf("| %s | %s%s | %.1f | %s | %.1f |\n", s.name, ms(f.first), note, ratio(f.first, base.first), ms(f.change), ratio(f.change, base.change))
		}
	}
	if err := repairs(ctx, o); err != nil {
		return err
	}
	return cost(ctx, o)
}

func (s subject) measure(ctx context.Context, o options, prefixes []netip.Prefix) (figures, error) {
	var first, change []time.Duration
	projected := false
	repeat := o.repeat
	for range repeat {
		took, cut, err := s.build(ctx, o.cap, prefixes)
		if err != nil {
			return figures{}, err
		}
		first = append(first, took)
		some, err := s.changes(ctx, o.cap/4, prefixes)
		if err != nil {
			return figures{}, err
		}
		change = append(change, some...)
		if err := s.remove(ctx); err != nil {
			return figures{}, err
		}
		if projected = cut; cut || took > o.cap/4 {
			break // once is long enough
		}
	}
	return figures{first: median(first), change: median(change), projected: projected}, nil
}

// build takes the time of the first apply. One that is cut off by the limit is
// projected from its last thousand rules, each of which takes longer than the one
// before.
func (s subject) build(ctx context.Context, limit time.Duration, prefixes []netip.Prefix) (time.Duration, bool, error) {
	const step = 1000
	began := time.Now()
	var last, before time.Time
	done := 0
	err := s.first(ctx, prefixes, func(n int) bool {
		if done = n; n%step == 0 {
			before, last = last, time.Now()
		}
		return time.Since(began) < limit
	})
	took := time.Since(began)
	if took < limit || done >= len(prefixes)-1 {
		return took, false, err
	}
	each := took / time.Duration(max(done, 1))
	if !before.IsZero() {
		each = last.Sub(before) / step
	}
	return took + each*time.Duration(len(prefixes)-done), true, err
}

// changes adds one prefix and takes it away, several times if that is quick.
func (s subject) changes(ctx context.Context, limit time.Duration, prefixes []netip.Prefix) ([]time.Duration, error) {
	extra := netip.MustParsePrefix("203.0.113.77/32")
	var all []time.Duration
	for start := time.Now(); len(all) < 10 && (len(all) < 2 || time.Since(start) < limit); {
		for _, f := range []func(context.Context, []netip.Prefix, netip.Prefix) error{s.change, s.back} {
			began := time.Now()
			if err := f(ctx, prefixes, extra); err != nil {
				return nil, err
			}
			all = append(all, time.Since(began))
		}
	}
	return all, nil
}

// spread are n prefixes of length 32, 28 and 24 that do not touch each other.
func spread(n int) []netip.Prefix {
	list := make([]netip.Prefix, 0, n)
	for i := range n {
		bits := []int{32, 28, 24}[i%3]
		a := netip.AddrFrom4([4]byte{byte(11 + i>>15), byte(i >> 7), byte(i << 1), 0})
		list = append(list, netip.PrefixFrom(a, bits))
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
