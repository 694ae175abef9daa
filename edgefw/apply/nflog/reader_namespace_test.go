//go:build namespace

package nflog

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/tests/nethost"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read runs a reader in a host until the test ends.
func read(t *testing.T, host *nethost.Host) <-chan Packet {
	t.Helper()
	var r *Reader
	host.Do(func() {
		var err error
		if r, err = Open(107); err != nil {
			t.Error(err)
		}
	})
	if r == nil {
		t.FailNow()
	}
	ctx, cancel := context.WithCancel(context.Background())
	packets, done := make(chan Packet, 10_000), make(chan error)
	go func() { done <- r.Run(ctx, func(p Packet) { packets <- p }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return packets
}

func next(t *testing.T, packets <-chan Packet) Packet {
	t.Helper()
	select {
	case p := <-packets:
		return p
	case <-time.After(10 * time.Second):
		t.Fatal("no packet was told in 10 s")
		return Packet{}
	}
}

func TestReaderTellsWhatRulesLog(t *testing.T) {
	for _, variant := range []string{"legacy", "nft"} {
		for _, c := range []struct{ iptables, addr, mark string }{
			{"iptables-" + variant, "127.0.0.1:4711", "-j MARK --set-mark 7"},
			{"ip6tables-" + variant, "[::1]:4711", "-j MARK --set-mark 7"},
		} {
			t.Run(c.iptables, func(t *testing.T) {
				host := nethost.New(t)
				packets := read(t, host)
				host.Run(fmt.Sprintf(`%[1]s -t mangle -A INPUT -p udp --dport 4711 %[2]s
					%[1]s -t mangle -A INPUT -p udp --dport 4711 -j NFLOG --nflog-group 107 --nflog-prefix kedge:abc123
					%[1]s -t mangle -A OUTPUT -p udp --dport 4711 -j NFLOG --nflog-group 107 --nflog-prefix out`, c.iptables, c.mark))
				host.Do(func() {
					conn, err := net.Dial("udp", c.addr)
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					_, _ = conn.Write([]byte("hello"))
				})
				out, in := next(t, packets), next(t, packets)
				if out.Prefix != "out" || out.Out != "lo" || out.In != "" {
					t.Errorf("leaving: %+v", out)
				}
				if in.Prefix != "kedge:abc123" || in.In != "lo" || in.Out != "" || in.Mark != 7 {
					t.Errorf("coming: %+v", in)
				}
				if in.Protocol != 17 || in.To.String() != c.addr || in.From.Port() == 0 {
					t.Errorf("coming: %+v, want UDP to %s", in, c.addr)
				}
			})
		}
	}
}

func TestReaderSurvivesAFlood(t *testing.T) {
	host := nethost.New(t)
	packets := read(t, host)
	host.Run("iptables-nft -A OUTPUT -p udp --dport 9 -j NFLOG --nflog-group 107 --nflog-prefix flood")
	host.Run("iptables-nft -A OUTPUT -p udp --dport 7 -j NFLOG --nflog-group 107 --nflog-prefix last")
	send := func(addr string, n int) {
		host.Do(func() {
			conn, err := net.Dial("udp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for range n {
				_, _ = conn.Write([]byte(strings.Repeat("x", 200)))
			}
		})
	}
	go func() {
		for p := range packets {
			if p.Prefix == "last" {
				return
			}
		}
	}()
	send("127.0.0.1:9", 50_000)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		send("127.0.0.1:7", 1)
		select {
		case p := <-packets:
			if p.Prefix == "last" {
				return
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Error("after a flood nothing was told any more")
}

func TestOneReaderAtATime(t *testing.T) {
	host := nethost.New(t)
	read(t, host)
	host.Do(func() {
		if _, err := Open(107); err == nil || !strings.Contains(err.Error(), "another process reads it") {
			t.Errorf("a second reader: got %v", err)
		}
	})
}
