//go:build namespace

package ipset

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/nethost"
)

// open is a handle in a host of its own.
func open(t testing.TB) (*Handle, *nethost.Host) {
	t.Helper()
	host := nethost.New(t)
	var h *Handle
	host.Do(func() {
		var err error
		if h, err = Open(); err != nil {
			t.Error(err)
		}
	})
	if h == nil {
		t.FailNow()
	}
	t.Cleanup(func() { h.Close() })
	return h, host
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// many are n different prefixes, sorted.
func many(n int, v6 bool) []netip.Prefix {
	list := make([]netip.Prefix, n)
	for i := range list {
		if v6 {
			a := netip.MustParseAddr("2001:db8::").As16()
			a[4], a[5], a[6] = byte(i>>16), byte(i>>8), byte(i)
			list[i] = netip.PrefixFrom(netip.AddrFrom16(a), 56)
		} else {
			list[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		}
	}
	return list
}

func expect(t testing.TB, h *Handle, name string, want []netip.Prefix) {
	t.Helper()
	got, err := h.Entries(name)
	must(t, err)
	if !slices.Equal(got, want) {
		t.Fatalf("set %s has %d entries, want %d: got %.200v, want %.200v", name, len(got), len(want), got, want)
	}
}

func TestAClosedHandleTouchesNothing(t *testing.T) {
	h, _ := open(t)
	must(t, h.Close())
	if err := h.Create(Spec{Name: "s", Kind: Nets}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
}

func TestSupportedOnThisKernel(t *testing.T) {
	h, _ := open(t)
	must(t, h.Supported())
}

func TestSetsHoldWhatWasAdded(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		add  []netip.Prefix
	}{
		{Spec{Name: "n4", Kind: Nets}, prefixes("10.0.0.0/8", "10.1.2.3/32", "192.0.2.0/25", "192.0.2.128/26")},
		{Spec{Name: "n6", Kind: Nets, IPv6: true}, prefixes("2001:db8::/32", "2001:db8::1/128", "fe80::/10")},
		{Spec{Name: "a4", Kind: Addresses}, prefixes("10.42.0.2/32", "10.42.0.3/32")},
		{Spec{Name: "a6", Kind: Addresses, IPv6: true}, prefixes("fd00::2/128")},
	} {
		t.Run(c.spec.Name, func(t *testing.T) {
			h, _ := open(t)
			must(t, h.Create(c.spec))
			expect(t, h, c.spec.Name, nil)
			for _, p := range c.add {
				must(t, h.Add(c.spec.Name, p))
				must(t, h.Add(c.spec.Name, p)) // twice is fine
			}
			expect(t, h, c.spec.Name, c.add)
			must(t, h.Del(c.spec.Name, c.add[0]))
			must(t, h.Del(c.spec.Name, c.add[0]))
			expect(t, h, c.spec.Name, c.add[1:])
			must(t, h.Fill(c.spec.Name, c.add))
			expect(t, h, c.spec.Name, c.add)
			must(t, h.Destroy(c.spec.Name))
			if _, err := h.Entries(c.spec.Name); !errors.Is(err, ErrMissing) {
				t.Errorf("after Destroy: %v, want ErrMissing", err)
			}
		})
	}
}

func TestFillOfManyIsComplete(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{1, 1500, 10_000, 100_000} {
			t.Run(fmt.Sprintf("%v/%d", v6, n), func(t *testing.T) {
				h, _ := open(t)
				want := many(n, v6)
				mixed := slices.Clone(want)
				rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
				must(t, h.Create(Spec{Name: "big", Kind: Nets, IPv6: v6, Expect: n}))
				must(t, h.Fill("big", mixed))
				expect(t, h, "big", want)
			})
		}
	}
}

func TestFillNamesTheEntryThatIsRefused(t *testing.T) {
	h, _ := open(t)
	must(t, h.Create(Spec{Name: "s", Kind: Nets}))
	list := many(5000, false)
	list[4321] = netip.MustParsePrefix("2001:db8::/32")
	err := h.Fill("s", list)
	var entry *EntryError
	if !errors.As(err, &entry) || entry.Place != 4321 || entry.Entry != list[4321] {
		t.Fatalf("got %v, want an error about entry 4321", err)
	}
	if !strings.Contains(err.Error(), "set s, entry 4321 (2001:db8::/32): the set is of the other address family") {
		t.Errorf("the error reads %q", err)
	}
}

func TestEverywhereIsRefused(t *testing.T) {
	h, _ := open(t)
	must(t, h.Create(Spec{Name: "s", Kind: Nets}))
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	for what, err := range map[string]error{
		"Add": h.Add("s", everywhere), "Del": h.Del("s", everywhere), "Fill": h.Fill("s", []netip.Prefix{everywhere}),
		"Replace": h.Replace(Spec{Name: "s", Kind: Nets}, []netip.Prefix{everywhere}),
	} {
		if !errors.Is(err, ErrEverywhere) {
			t.Errorf("%s: got %v, want ErrEverywhere", what, err)
		}
	}
	if err := h.Add("s", netip.PrefixFrom(netip.MustParseAddr("::ffff:1.2.3.4"), 128)); !errors.Is(err, errNoPrefix) {
		t.Errorf("an IPv4 address in the form of IPv6: got %v, want errNoPrefix", err)
	}
}

func TestCreateAndDestroySayWhyNot(t *testing.T) {
	h, host := open(t)
	must(t, h.Create(Spec{Name: "s", Kind: Nets}))
	if err := h.Create(Spec{Name: "s", Kind: Nets}); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: got %v, want ErrExists", err)
	}
	if err := h.Create(Spec{Name: strings.Repeat("n", 32), Kind: Nets}); err == nil {
		t.Error("a name of 32 bytes was taken")
	}
	if err := h.Destroy("other"); !errors.Is(err, ErrMissing) {
		t.Errorf("a set that is not there: got %v, want ErrMissing", err)
	}
	for _, iptables := range []string{"iptables-legacy", "iptables-nft"} {
		host.Run(iptables + " -t mangle -A INPUT -m set --match-set s src -j DROP")
		if err := h.Destroy("s"); !errors.Is(err, ErrInUse) {
			t.Errorf("while %s uses it: got %v, want ErrInUse", iptables, err)
		}
		list, err := h.List("s")
		must(t, err)
		if len(list) != 1 || list[0].Rules != 1 {
			t.Errorf("with one rule of %s: got %+v", iptables, list)
		}
		host.Run(iptables + " -t mangle -F INPUT")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, h.DestroyUnused(ctx, "s", "other"))
	if list, err := h.List(""); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

func TestDestroyUnusedEndsWithItsContext(t *testing.T) {
	h, host := open(t)
	must(t, h.Create(Spec{Name: "s", Kind: Nets}))
	host.Run("iptables-legacy -A INPUT -m set --match-set s src -j DROP")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.DestroyUnused(ctx, "s"); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

func TestReplaceSwapsTheWholeUnderRulesThatUseIt(t *testing.T) {
	h, host := open(t)
	spec := Spec{Name: "s", Kind: Nets}
	must(t, h.Replace(spec, prefixes("10.0.0.0/8"))) // there was none
	expect(t, h, "s", prefixes("10.0.0.0/8"))
	host.Run("iptables-legacy -A INPUT -m set --match-set s src -j DROP")
	next := many(20_000, false)
	must(t, h.Replace(spec, next))
	expect(t, h, "s", next)

	// What is refused leaves the set as it was, and nothing beside it.
	if err := h.Replace(spec, append(prefixes("10.0.0.0/8"), prefixes("::1/128")...)); err == nil {
		t.Error("an address of the other family was taken")
	}
	expect(t, h, "s", next)

	// What an interrupted Replace leaves behind does not disturb the next one.
	must(t, h.Create(Spec{Name: "s~", Kind: Nets}))
	must(t, h.Replace(spec, nil))
	expect(t, h, "s", nil)
	list, err := h.List("")
	must(t, err)
	if len(list) != 1 || list[0].Name != "s" {
		t.Errorf("left: %+v", list)
	}
}

func TestSwapRefusesAnotherFamily(t *testing.T) {
	h, _ := open(t)
	must(t, h.Create(Spec{Name: "a", Kind: Nets}))
	must(t, h.Create(Spec{Name: "b", Kind: Nets, IPv6: true}))
	if err := h.Swap("a", "b"); err == nil {
		t.Error("sets of two families were swapped")
	}
	if err := h.Swap("a", "c"); !errors.Is(err, ErrMissing) {
		t.Errorf("with a set that is not there: got %v, want ErrMissing", err)
	}
}

func TestListTellsOursFromOthers(t *testing.T) {
	h, host := open(t)
	host.Run("ipset create docker-x hash:net; ipset create lists list:set")
	for i := range 300 { // more than the kernel makes room for at first
		must(t, h.Create(Spec{Name: fmt.Sprintf("kfw%03d", i), Kind: Addresses, IPv6: i%2 == 1}))
	}
	must(t, h.Add("kfw007", netip.MustParsePrefix("::7/128")))
	list, err := h.List("kfw")
	must(t, err)
	if len(list) != 300 {
		t.Fatalf("got %d sets, want 300", len(list))
	}
	if want := (Info{Name: "kfw007", Kind: Addresses, IPv6: true, Entries: 1}); list[7] != want {
		t.Errorf("got %+v, want %+v", list[7], want)
	}
}

func TestHandleServesManyAtOnce(t *testing.T) {
	h, _ := open(t)
	done := make(chan error)
	for i := range 8 {
		go func() {
			name := fmt.Sprint("s", i)
			want := many(2000+i, false)
			err := h.Replace(Spec{Name: name, Kind: Nets}, want)
			if got, e := h.Entries(name); e != nil || !slices.Equal(got, want) {
				err = errors.Join(err, e, fmt.Errorf("set %s has %d entries", name, len(got)))
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
