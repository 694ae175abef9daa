//go:build namespace

package lab

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestLinkCutAndHealed(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge, link := l.Host("server"), l.Host("edge1"), l.Site("site1").Uplink
	serve(t, server)
	c := reach(t, edge, server.IP())
	for name, fault := range map[string]func() error{"cut": link.Cut, "black hole": link.BlackHole} {
		if err := fault(); err != nil {
			t.Fatal(err)
		}
		if err := echo(c, "lost?", time.Second); err == nil {
			t.Errorf("%s: data passed", name)
		}
		if c, err := dial(t.Context(), edge, server.IP()); err == nil {
			_ = c.Close()
			t.Errorf("%s: connected", name)
		}
		if err := link.Heal(); err != nil {
			t.Fatal(err)
		}
		// The old connection survives: its data is sent again.
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if err := expect(c, "lost?"); err != nil {
			t.Errorf("%s, healed: %v", name, err)
		}
		reach(t, edge, server.IP())
	}
}

func TestStalledLinkHoldsAndDelivers(t *testing.T) {
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
	if _, err := io.WriteString(out, "first"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	receive := func(within time.Duration) (string, error) {
		_ = in.SetReadDeadline(time.Now().Add(within))
		n, _, err := in.ReadFrom(buf)
		return string(buf[:n]), err
	}
	if got, err := receive(20 * time.Second); err != nil || got != "first" {
		t.Fatalf("before: %q, %v", got, err)
	}
	if err := link.Stall(); err != nil {
		t.Fatal(err)
	}
	const n = 20
	for i := range n {
		if _, err := fmt.Fprintf(out, "held %d", i); err != nil {
			t.Fatal(err)
		}
	}
	passed := 0
	for {
		if _, err := receive(time.Second); err != nil {
			break
		}
		passed++
	}
	if passed > 1 {
		t.Errorf("%d packets passed a stalled link", passed)
	}
	if err := link.Heal(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(out, "last"); err != nil {
		t.Fatal(err)
	}
	for i := passed; i < n; i++ {
		if got, err := receive(20 * time.Second); err != nil || got != fmt.Sprintf("held %d", i) {
			t.Fatalf("after: %q, %v, want packet %d", got, err, i)
		}
	}
}

func TestSlowLinkIsSlowerThanAFastOne(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge, link := l.Host("server"), l.Host("edge1"), l.Site("site1").Uplink
	serve(t, server)
	transfer := func() time.Duration {
		c := reach(t, edge, server.IP())
		start := time.Now()
		data := bytes.Repeat([]byte("x"), 512<<10)
		go func() { _, _ = c.Write(data) }()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadFull(c, make([]byte, len(data))); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	fast := transfer()
	if err := link.Slow(4_000_000, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	// Only the ratio of two runs is looked at: half a megabyte needs a second at 4 Mbit/s.
	if slow := transfer(); slow < 3*fast {
		t.Errorf("slow link took %s, fast one %s", slow, fast)
	}
	if err := link.Heal(); err != nil {
		t.Fatal(err)
	}
	transfer()
}

func TestLossyLinkLosesSomePackets(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge, link := l.Host("server"), l.Host("edge1"), l.Site("site1").Uplink
	if err := link.Loss(50); err != nil {
		t.Fatal(err)
	}
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
	const n = 400
	for range n {
		if _, err := io.WriteString(out, "x"); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for buf := make([]byte, 8); ; got++ {
		_ = in.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := in.ReadFrom(buf); err != nil {
			break
		}
	}
	if got == 0 || got == n {
		t.Errorf("%d of %d arrived over a link that loses half", got, n)
	}
}
