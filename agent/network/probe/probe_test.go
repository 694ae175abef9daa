package probe

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a link with index 7 between probers.
type wire struct {
	ends map[netip.Addr]*plug
	cut  atomic.Bool
}

type plug struct {
	w     *wire
	own   netip.Addr
	in    chan packet
	done  chan struct{}
	index int
}

type packet struct {
	from netip.Addr
	b    []byte
}

func (p *plug) Read(b []byte) (int, netip.Addr, int, error) {
	select {
	case got := <-p.in:
		return copy(b, got.b), got.from, p.index, nil
	case <-p.done:
		return 0, netip.Addr{}, 0, net.ErrClosed
	}
}

func (p *plug) Write(b []byte, to netip.Addr) error {
	if other := p.w.ends[to]; other != nil && !p.w.cut.Load() {
		select {
		case other.in <- packet{p.own, append([]byte{}, b...)}:
		default:
		}
	}
	return nil
}

func (p *plug) Resolve(Path) {}

func (p *plug) Close() error { close(p.done); return nil }

type node struct {
	*Prober
	name    string
	addr    netip.Addr
	key     Key
	changes atomic.Int32
}

func newNode(t *testing.T, w *wire, name, addr string) *node {
	n := &node{name: name, addr: netip.MustParseAddr(addr), key: newKey(t)}
	n.Prober = New(n.key, slog.New(slog.DiscardHandler), func() { n.changes.Add(1) })
	end := &plug{w: w, own: n.addr, in: make(chan packet, 100), done: make(chan struct{}), index: 7}
	w.ends[n.addr] = end
	n.open = func(netip.Addr) (Conn, error) { return end, nil }
	return n
}

func (n *node) peer(paths ...Path) Peer {
	return Peer{Name: n.name, Address: n.addr, Key: n.key.Public(), Paths: paths}
}

func way(link string, index int) Path {
	return Path{Gateway: netip.MustParseAddr("192.168.1.9"), Link: link, Index: index, MTU: 1500}
}

// pass lets time go by in a bubble of testing/synctest.
func pass(d time.Duration) { <-time.After(d) }

func TestNearNodesFindEachOtherAndLoseEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{ends: map[netip.Addr]*plug{}}
		a, b, c := newNode(t, w, "a", "10.42.0.1"), newNode(t, w, "b", "10.42.1.1"), newNode(t, w, "c", "10.42.2.1")
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		impostor := b.peer(way("eth0", 7))
		impostor.Name, impostor.Address, impostor.Key = "c", c.addr, newKey(t).Public()
		for n, peers := range map[*node][]Peer{
			a: {b.peer(way("eth0", 7)), impostor, {Name: "broken", Address: netip.MustParseAddr("10.42.3.1"), Key: []byte("short"), Paths: []Path{way("eth0", 7)}}},
			b: {a.peer(way("eth0", 7))},
			c: {a.peer(way("eth0", 7))},
		} {
			if err := n.Set(n.addr, peers); err != nil {
				t.Fatal(err)
			}
			go n.Run(ctx)
		}
		pass(10 * time.Second)
		if d := a.Direct(); len(d) != 1 || d["b"] != way("eth0", 7) || len(b.Direct()) != 1 || len(c.Direct()) != 0 {
			t.Fatalf("direct: a %v, b %v, c %v", d, b.Direct(), c.Direct())
		}
		if got := a.Tried(); len(got) != 2 {
			t.Errorf("tried %v", got)
		}
		before := a.changes.Load()
		w.cut.Store(true)
		pass(5 * time.Second)
		if len(a.Direct())+len(b.Direct()) != 0 || a.changes.Load() == before {
			t.Errorf("after a cut: a %v, b %v", a.Direct(), b.Direct())
		}
		w.cut.Store(false)
		pass(40 * time.Second)
		if len(a.Direct()) != 1 || len(b.Direct()) != 1 {
			t.Errorf("after the cut: a %v, b %v", a.Direct(), b.Direct())
		}
		// Another key or another link has to be proven anew.
		if err := a.Set(a.addr, []Peer{b.peer(way("eth1", 8))}); err != nil || len(a.Direct()) != 0 {
			t.Errorf("direct over another link at once: %v, %v", a.Direct(), err)
		}
		if err := a.Set(a.addr, nil); err != nil || len(a.Tried()) != 0 {
			t.Errorf("a peer that left is tried: %v, %v", a.Tried(), err)
		}
	})
}

func TestMessagesOverAnotherLinkProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{ends: map[netip.Addr]*plug{}}
		a, b := newNode(t, w, "a", "10.42.0.1"), newNode(t, w, "b", "10.42.1.1")
		w.ends[a.addr].index = 9 // the relay, for instance
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		for n, peers := range map[*node][]Peer{a: {b.peer(way("eth0", 7), way("eth1", 8))}, b: {a.peer(way("eth0", 7))}} {
			if err := n.Set(n.addr, peers); err != nil {
				t.Fatal(err)
			}
			go n.Run(ctx)
		}
		tried := map[string]bool{}
		for range 100 {
			pass(time.Second)
			tried[a.Tried()["b"].Link] = true
		}
		if len(a.Direct())+len(b.Direct()) != 0 {
			t.Errorf("a %v, b %v", a.Direct(), b.Direct())
		}
		if !tried["eth0"] || !tried["eth1"] {
			t.Errorf("tried only %v", tried)
		}
	})
}

func TestAdoptedPathStaysUntilItHasProvenWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{ends: map[netip.Addr]*plug{}}
		a, b := newNode(t, w, "a", "10.42.0.1"), newNode(t, w, "b", "10.42.1.1")
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		second := way("eth1", 8)
		second.Gateway = netip.MustParseAddr("192.168.2.9")
		peer := b.peer(way("eth0", 7), second)
		peer.Adopt = second.Gateway
		if err := a.Set(a.addr, []Peer{peer}); err != nil {
			t.Fatal(err)
		}
		go a.Run(ctx)
		if d := a.Direct(); d["b"] != second {
			t.Errorf("direct %v", d)
		}
		pass(5 * time.Second)
		if d := a.Direct(); len(d) != 0 {
			t.Errorf("nobody answers, and still direct %v", d)
		}
	})
}

func TestKeyStaysTheSameAndSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tls", "probe.key")
	k, err := LoadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 || k.String() != "(key)" {
		t.Errorf("%v, %v", info, err)
	}
	again, err := LoadKey(file)
	if err != nil || string(again.Public()) != string(k.Public()) {
		t.Errorf("another key, %v", err)
	}
	if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err = LoadKey(file); err != nil || len(again.Public()) != KeyLength {
		t.Errorf("a broken file: %v", err)
	}
	if _, _, err := k.pair(make([]byte, KeyLength)); err == nil {
		t.Error("a key of zeros gave a secret that everybody knows")
	}
}
