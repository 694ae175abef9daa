package plan

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

func TestMinimalPrefixes(t *testing.T) {
	for name, c := range map[string]struct{ in, want []netip.Prefix }{
		"joined":      {prefixes("192.0.2.128/25", "192.0.2.0/25"), prefixes("192.0.2.0/24")},
		"inside":      {prefixes("192.0.2.0/24", "192.0.2.7/32"), prefixes("192.0.2.0/24")},
		"host bits":   {prefixes("192.0.2.9/24"), prefixes("192.0.2.0/24")},
		"neighbours":  {prefixes("192.0.2.1/32", "192.0.2.2/32"), prefixes("192.0.2.1/32", "192.0.2.2/32")},
		"families":    {prefixes("2001:db8::/32", "10.0.0.0/8"), prefixes("10.0.0.0/8", "2001:db8::/32")},
		"mapped":      {prefixes("::ffff:10.0.0.0/104"), prefixes("10.0.0.0/8")},
		"everything":  {prefixes("::/0", "0.0.0.0/0"), prefixes("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")},
		"no prefix":   {[]netip.Prefix{{}}, nil},
		"nothing":     {nil, nil},
		"many joined": {prefixes("192.0.2.0/27", "192.0.2.32/27", "192.0.2.64/26", "192.0.2.128/25"), prefixes("192.0.2.0/24")},
	} {
		got := minimal(c.in)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if !isMinimal(got) {
			t.Errorf("%s: %v is not minimal", name, got)
		}
	}
}

func TestAMinimalListIsNotCopied(t *testing.T) {
	list := prefixes("10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")
	if got := minimal(list); !sameSlice(got, list) {
		t.Error("it was copied")
	}
}

func TestMinimalPrefixesHoldTheSame(t *testing.T) {
	for seed := range uint64(2000) {
		c := chance.New(seed)
		in := chance.Many(c, 10, c.Prefix)
		got := minimal(in)
		if !isMinimal(got) {
			t.Fatalf("seed %d: %v is not minimal", seed, got)
		}
		for range 20 {
			if a := c.Addr(); holds(got, a) != anyPrefix(in, a) {
				t.Fatalf("seed %d: %s in %v: %t, in %v: %t", seed, a, got, holds(got, a), in, anyPrefix(in, a))
			}
		}
	}
}
