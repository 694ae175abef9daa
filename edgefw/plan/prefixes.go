package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// minimal are the fewest prefixes that hold the same addresses: disjoint,
// sorted, IPv4 first, and none of length 0, which sets of the kernel cannot
// hold: all of a family is its two halves. It is the list itself if that is so
// already.
func minimal(prefixes []netip.Prefix) []netip.Prefix {
	if len(prefixes) == 0 {
		return nil
	}
	if isMinimal(prefixes) {
		return prefixes
	}
	list := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p, ok := clean(p); ok {
			list = append(list, p)
		}
	}
	if !slices.IsSortedFunc(list, widestFirst) {
		slices.SortFunc(list, widestFirst)
	}
	return halved(joined(list))
}

// widestFirst sorts a prefix before those inside it.
func widestFirst(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// joined leaves out what is inside of others, and makes one of two halves, in
// place: what it has written it has read. An address set may have 100,000
// entries, for which netipx takes four times as long (BenchmarkMinimal).
func joined(list []netip.Prefix) []netip.Prefix {
	out := list[:0]
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].Contains(p.Addr()) {
			continue
		}
		out = append(out, p)
		for n := len(out); n > 1 && areHalves(out[n-2], out[n-1]); n-- {
			out = append(out[:n-2], parent(out[n-1]))
		}
	}
	return out
}

func areHalves(a, b netip.Prefix) bool {
	return a.Bits() == b.Bits() && a.Bits() > 0 && parent(a) == parent(b)
}

// addPrefix takes a prefix of IPv4 that is written as IPv6 for what it is, and
// leaves out what is none at all.
func addPrefix(b *netipx.IPSetBuilder, p netip.Prefix) {
	if p, ok := clean(p); ok {
		b.AddPrefix(p)
	}
}

func clean(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return p, false
	}
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p.Masked(), true
}

// mappedBits is the length of ::ffff:0:0, below which IPv6 writes IPv4 (RFC
// 4291 2.5.5.2).
const mappedBits = 96

func prefixesOf(b *netipx.IPSetBuilder) []netip.Prefix {
	set, err := b.IPSet()
	if err != nil {
		return nil // only prefixes and addresses that are none give errors, and these were left out
	}
	all := set.Prefixes()
	slices.SortFunc(all, widestFirst)
	return halved(all)
}

// halved is for sets of the kernel, which cannot hold a prefix of length 0.
func halved(list []netip.Prefix) []netip.Prefix {
	if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		return list
	}
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, halves(p)...)
	}
	return out
}

func halves(p netip.Prefix) []netip.Prefix {
	if p.Bits() != 0 {
		return []netip.Prefix{p}
	}
	first := netip.PrefixFrom(p.Addr(), 1)
	second := netip.PrefixFrom(netipx.PrefixLastIP(first).Next(), 1)
	return []netip.Prefix{first, second}
}

// isMinimal needs one look at each: among sorted disjoint prefixes there is
// something to join exactly if two neighbours are halves of the same.
func isMinimal(prefixes []netip.Prefix) bool {
	for i, p := range prefixes {
		cleaned, ok := clean(p)
		if !ok || cleaned != p || p.Bits() == 0 {
			return false
		}
		if i > 0 && !follows(prefixes[i-1], p) {
			return false
		}
	}
	return true
}

// follows tells whether p comes after another without touching it and is not the
// other half of the same prefix. The halves of everything stay apart.
func follows(before, p netip.Prefix) bool {
	if before.Addr().Compare(p.Addr()) >= 0 || before.Overlaps(p) {
		return false
	}
	return p.Bits() == 1 || !areHalves(before, p)
}

func parent(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
}

// everywhere tells that minimal prefixes hold all addresses of both families.
func everywhere(prefixes []netip.Prefix) bool {
	return len(prefixes) == 4 && !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Bits() != 1 })
}

// holds tells whether an address is in minimal prefixes.
func holds(prefixes []netip.Prefix, addr netip.Addr) bool {
	i, found := slices.BinarySearchFunc(prefixes, addr, func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	return found || i > 0 && prefixes[i-1].Contains(addr)
}
