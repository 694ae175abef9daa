//go:build namespace

package apply_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// many are n prefixes that do not touch each other.
func many(n int) []netip.Prefix {
	list := make([]netip.Prefix, 0, n)
	for i := range n {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + i>>15), byte(i >> 7), byte(i << 1), 0}), 32))
	}
	return list
}

func withSet(list []netip.Prefix) apply.Wish {
	w := friends()
	w.Ruleset.Sets["set/friends"] = model.Set{Prefixes: list}
	return w
}

func BenchmarkFirstApply(b *testing.B) {
	for _, v := range []apply.Variant{apply.Legacy, apply.NFT} {
		for _, n := range []int{0, 10_000, 100_000} {
			w := withSet(many(n))
			b.Run(fmt.Sprintf("%s/%d", v, n), func(b *testing.B) {
				for b.Loop() {
					k, err := apply.New(apply.Config{Variant: v, Log: slog.New(slog.DiscardHandler)})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := k.Apply(context.Background(), w); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					_ = k.Close()
					if err := apply.RemoveAll(context.Background()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			})
		}
	}
}

func BenchmarkOneEntry(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		list := many(n)
		wishes := []apply.Wish{withSet(list[:n-1]), withSet(list)}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k, err := apply.New(apply.Config{Variant: apply.NFT, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				_ = k.Close()
				if err := apply.RemoveAll(context.Background()); err != nil {
					b.Error(err)
				}
			})
			i := 0
			if _, err := k.Apply(context.Background(), wishes[0]); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				i++
				if r, err := k.Apply(context.Background(), wishes[i%2]); err != nil || r.Way != apply.InPlace {
					b.Fatal(r, err)
				}
			}
		})
	}
}
