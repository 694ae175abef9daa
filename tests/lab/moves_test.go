//go:build namespace

package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
)

// silent fails if something comes back on the connection.
func silent(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if err := echo(c, "gone", time.Second); err == nil {
		t.Errorf("%s: the old connection still works", what)
	}
}

func TestHostMovesToAnotherAddress(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge := l.Host("server"), l.Host("edge1")
	serve(t, server)
	old := reach(t, edge, server.IP())
	if err := edge.Readdress(netip.MustParseAddr("192.168.1.77")); err != nil {
		t.Fatal(err)
	}
	silent(t, old, "moved")
	if c := reach(t, edge, server.IP()); !strings.HasPrefix(c.LocalAddr().String(), "192.168.1.77:") || edge.IP() != "192.168.1.77" {
		t.Errorf("dials from %s, says it is %s", c.LocalAddr(), edge.IP())
	}
	if err := edge.Readdress(netip.MustParseAddr("10.0.0.1")); err == nil {
		t.Error("moved out of its network")
	}
}

func TestServerMovesAndItsNameFollows(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge := l.Host("server"), l.Host("edge1")
	serve(t, server)
	before := server.IP()
	now := netip.MustParseAddr("203.0.113.9")
	if err := server.Readdress(now); err != nil {
		t.Fatal(err)
	}
	l.SetName("server", now)
	out, errOut, err := edge.Run(t.Context(), "getent", "ahostsv4", "server."+Zone)
	if err != nil || !strings.Contains(out, now.String()) {
		t.Errorf("got %q %q %v", out, errOut, err)
	}
	reach(t, edge, now.String())
	if c, err := dial(t.Context(), edge, before); err == nil {
		_ = c.Close()
		t.Error("the old address still answers")
	}
}

func TestGatewayForgetsItsMappings(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge, site := l.Host("server"), l.Host("edge1"), l.Site("site1")
	serve(t, server)
	for what, forget := range map[string]func() error{
		"rebound":   site.Rebind,
		"readdress": func() error { return site.Readdress(netip.MustParseAddr("198.51.100.220")) },
	} {
		old := reach(t, edge, server.IP())
		if err := forget(); err != nil {
			t.Fatal(err)
		}
		silent(t, old, what)
		reach(t, edge, server.IP())
	}
	if site.WAN().String() != "198.51.100.220" {
		t.Errorf("the site's address is %s", site.WAN())
	}
}

func TestHalfOpenLinkHearsAndIsNotHeard(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge, link := l.Host("server"), l.Host("edge1"), l.Site("site1").Uplink
	in, err := server.ListenUDP(":9")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := edge.DialContext(t.Context(), "udp4", server.IP()+":9")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var back net.Addr
	buf := make([]byte, 16)
	heard := func(word string) bool {
		if _, err := io.WriteString(out, word); err != nil {
			t.Fatal(err)
		}
		_ = in.SetReadDeadline(time.Now().Add(time.Second))
		n, from, err := in.ReadFrom(buf)
		if err == nil {
			back = from
		}
		return err == nil && string(buf[:n]) == word
	}
	hears := func(word string) bool {
		if _, err := in.WriteTo([]byte(word), back); err != nil {
			t.Fatal(err)
		}
		_ = out.SetReadDeadline(time.Now().Add(time.Second))
		n, err := out.Read(buf)
		return err == nil && string(buf[:n]) == word
	}
	check := func(what string, out, in bool) {
		t.Helper()
		if o, i := heard("out "+what), hears("in "+what); o != out || i != in {
			t.Errorf("%s: heard %t, hears %t", what, o, i)
		}
	}
	check("whole", true, true)
	for _, step := range []struct {
		what    string
		do      func() error
		out, in bool
	}{
		{"mute out", link.MuteOut, false, true}, {"healed", link.Heal, true, true},
		{"mute in", link.MuteIn, true, false}, {"healed again", link.Heal, true, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		check(step.what, step.out, step.in)
	}
}

func TestSiteHasOneWayOut(t *testing.T) {
	topology := ServerAndEdges(1)
	topology.Sites = append(topology.Sites, Site{Name: "proxy", Public: true, Hosts: []string{"proxy"}})
	l := New(t, topology)
	server, proxy, edge := l.Host("server"), l.Host("proxy"), l.Host("edge1")
	serve(t, server)
	serve(t, proxy)
	reach(t, edge, server.IP())
	if err := l.Site("site1").OnlyTo(netip.MustParseAddr(proxy.IP())); err != nil {
		t.Fatal(err)
	}
	reach(t, edge, proxy.IP())
	if c, err := dial(t.Context(), edge, server.IP()); err == nil {
		_ = c.Close()
		t.Error("another way leads out")
	}
}

func TestDelayedLinkHoldsEveryPacketBack(t *testing.T) {
	const delay = 40 * time.Millisecond
	topology := ServerAndEdges(1)
	topology.Sites[1].Delay = delay
	l := New(t, topology)
	server, edge, link := l.Host("server"), l.Host("edge1"), l.Site("site1").Uplink
	serve(t, server)
	c := reach(t, edge, server.IP())
	for i := range 5 {
		start := time.Now()
		if err := echo(c, fmt.Sprint("hello ", i), 20*time.Second); err != nil {
			t.Fatal(err)
		}
		// A lower bound, which no busy machine can break.
		if rtt := time.Since(start); rtt < 2*delay {
			t.Errorf("an echo came back after %s", rtt)
		}
	}
	// Much data comes through in order, and faults work on such a link as on a plain one.
	const size = 20 << 20
	go func() { _, _ = io.Copy(c, io.LimitReader(zeros{}, size)) }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if n, err := io.Copy(io.Discard, io.LimitReader(c, size)); n != size {
		t.Errorf("%d bytes came back: %v", n, err)
	}
	for name, fault := range map[string]func() error{"cut": link.Cut, "black hole": link.BlackHole} {
		if err := fault(); err != nil {
			t.Fatal(err)
		}
		if c, err := dial(t.Context(), edge, server.IP()); err == nil {
			_ = c.Close()
			t.Errorf("%s: connected", name)
		}
		if err := link.Heal(); err != nil {
			t.Fatal(err)
		}
		reach(t, edge, server.IP())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestTwoSitesWithTheSameAddressesAreSeparate(t *testing.T) {
	l := New(t, ThreeSites())
	one, two, beside := l.Host("edge1"), l.Host("edge2"), l.Host("edge2b")
	if one.IP() != two.IP() {
		t.Fatalf("edge1 has %s, edge2 %s", one.IP(), two.IP())
	}
	name := func(h *Host, word string) {
		in, err := h.Listen("tcp4", ":8")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close() })
		go func() {
			for c, err := in.Accept(); err == nil; c, err = in.Accept() {
				_, _ = io.WriteString(c, word)
				_ = c.Close()
			}
		}()
	}
	name(one, "one")
	name(two, "two")
	testx.Eventually(t, 20*time.Second, "the neighbour at edge1's address is edge2", func(ctx context.Context) error {
		c, err := beside.DialContext(ctx, "tcp4", one.IP()+":8")
		if err != nil {
			return err
		}
		defer c.Close()
		word, err := io.ReadAll(c)
		if string(word) != "two" {
			return fmt.Errorf("got %q: %w", word, err)
		}
		return nil
	})
}
