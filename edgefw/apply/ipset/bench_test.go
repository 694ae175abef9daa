//go:build namespace

package ipset

import (
	"fmt"
	"net/netip"
	"testing"
)

func BenchmarkReplace(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("ipv6=%v/%d", v6, n), func(b *testing.B) {
				h, _ := open(b)
				list := many(n, v6)
				for b.Loop() {
					must(b, h.Replace(Spec{Name: "s", Kind: Nets, IPv6: v6}, list))
				}
			})
		}
	}
}

// BenchmarkOneByOne is what batches are compared with.
func BenchmarkOneByOne(b *testing.B) {
	h, _ := open(b)
	list := many(10_000, false)
	must(b, h.Create(Spec{Name: "s", Kind: Nets, Expect: len(list)}))
	for b.Loop() {
		for _, p := range list {
			must(b, h.Add("s", p))
		}
	}
}

func BenchmarkChangeOfOneEntry(b *testing.B) {
	h, _ := open(b)
	must(b, h.Replace(Spec{Name: "s", Kind: Nets}, many(10_000, false)))
	p := netip.MustParsePrefix("192.0.2.0/24")
	for b.Loop() {
		must(b, h.Add("s", p))
		must(b, h.Del("s", p))
	}
}

func BenchmarkEntries(b *testing.B) {
	h, _ := open(b)
	must(b, h.Replace(Spec{Name: "s", Kind: Nets}, many(100_000, false)))
	for b.Loop() {
		_, err := h.Entries("s")
		must(b, err)
	}
}
