package netpol

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
	networkingv1 "k8s.io/api/networking/v1"
)

// merged is the smallest list of prefixes that covers exactly the addresses,
// which it sorts; nil for none.
func merged(addrs []netip.Addr) []netip.Prefix {
	if !slices.IsSortedFunc(addrs, netip.Addr.Compare) {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	if len(addrs) == 0 {
		return nil
	}
	out := make([]netip.Prefix, 0, len(addrs))
	for i, a := range addrs {
		if i > 0 && a == addrs[i-1] {
			continue
		}
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
		for len(out) > 1 && siblings(out[len(out)-2], out[len(out)-1]) {
			first := out[len(out)-2]
			out = append(out[:len(out)-2], netip.PrefixFrom(first.Addr(), first.Bits()-1))
		}
	}
	return slices.Clip(out)
}

// siblings tells whether a and then b are the halves of a prefix that is not
// everything.
func siblings(a, b netip.Prefix) bool {
	if a.Bits() != b.Bits() || a.Bits() < 2 || a.Addr().BitLen() != b.Addr().BitLen() {
		return false
	}
	whole := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
	return whole.Addr() == a.Addr() && whole.Contains(b.Addr())
}

// union is the smallest list that covers the prefixes of both. Everything is in
// two halves.
func union(blocks *netipx.IPSet, addrs []netip.Addr) []netip.Prefix {
	if blocks == nil {
		return merged(addrs)
	}
	var b netipx.IPSetBuilder
	b.AddSet(blocks)
	for _, a := range addrs {
		b.Add(a)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, p := range set.Prefixes() {
		if p.Bits() > 0 {
			out = append(out, p)
			continue
		}
		low, high := netipx.RangeOfPrefix(p).From(), netipx.RangeOfPrefix(p).To()
		out = append(out, netip.PrefixFrom(low, 1), netip.PrefixFrom(high, 1).Masked())
	}
	return out
}

// block is what an ipBlock covers. What is not valid in it is left out; the API
// server lets nothing of the kind in.
func block(b *networkingv1.IPBlock) *netipx.IPSet {
	var set netipx.IPSetBuilder
	if p, err := netip.ParsePrefix(b.CIDR); err == nil {
		set.AddPrefix(p.Masked())
	}
	for _, text := range b.Except {
		if p, err := netip.ParsePrefix(text); err == nil {
			set.RemovePrefix(p.Masked())
		}
	}
	out, _ := set.IPSet()
	return out
}
