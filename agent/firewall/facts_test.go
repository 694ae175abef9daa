package firewall

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
)

func write(t *testing.T, root, file, text string) {
	t.Helper()
	path := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func config() Config {
	return Config{
		Way: NewWay(), PodRange: func() netip.Prefix { return netip.MustParsePrefix("10.42.1.0/24") },
		PodLink: "kedge0", API: netip.MustParseAddr("10.43.0.1"),
		Host: Host{Door: 6443, Failsafe: []model.Failsafe{{From: netip.MustParsePrefix("192.0.2.0/24"), Port: 22}}},
	}
}

func TestFactsAreThoseOfTheHostAndOfFormerRuns(t *testing.T) {
	root := t.TempDir()
	write(t, root, "etc/resolv.conf", "nameserver 192.0.2.53\n")
	f := newFacts(config(), root, model.Facts{
		Servers:     []netip.AddrPort{netip.MustParseAddrPort("203.0.113.2:6443")},
		Resolvers:   []netip.Addr{netip.MustParseAddr("192.0.2.54")},
		TimeServers: []netip.Addr{netip.MustParseAddr("192.0.2.123")},
		Failsafe:    []model.Failsafe{{From: netip.MustParsePrefix("0.0.0.0/0"), Port: 22}},
	}, func() {})
	now := f.Now()
	got := fmt.Sprint(now.Servers, now.Resolvers, now.TimeServers, now.Failsafe, now.Door, now.PodRange, now.APIPorts)
	want := "[203.0.113.2:6443] [192.0.2.53 192.0.2.54] [192.0.2.123] [{192.0.2.0/24 22}] 6443 10.42.1.0/24 [443 6444]"
	if got != want {
		t.Errorf("facts are\n%s, want\n%s", got, want)
	}
}

func TestAFormerResolverCountsForAWhile(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		write(t, root, "etc/resolv.conf", "nameserver 192.0.2.53\n")
		changes := 0
		f := newFacts(config(), root, model.Facts{}, func() { changes++ })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.run(ctx) }()
		synctest.Wait()
		write(t, root, "etc/resolv.conf", "nameserver 192.0.2.54\n")
		<-time.After(factsEvery)
		synctest.Wait()
		if got := fmt.Sprint(f.Now().Resolvers, changes); got != "[192.0.2.53 192.0.2.54] 1" {
			t.Errorf("after a change, resolvers and changes are %s", got)
		}
		<-time.After(keepResolver + factsEvery)
		synctest.Wait()
		if got := fmt.Sprint(f.Now().Resolvers, changes); got != "[192.0.2.54] 2" {
			t.Errorf("later, resolvers and changes are %s", got)
		}
		cancel()
		<-done
		synctest.Wait()
	})
}

func TestTheWayRemembersWhereServersAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := NewWay()
	c, err := w.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if got := w.Servers(); len(got) != 0 {
		t.Errorf("loopback counts as a server: %v", got)
	}
	for i := range 3 * maxServers {
		w.note(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 6443))
	}
	if got := w.Servers(); len(got) != maxServers || got[len(got)-1].Addr() != netip.MustParseAddr("198.51.100.47") {
		t.Errorf("%d servers are remembered: %v", len(got), got)
	}
}

func TestRestoredFactsAreThoseOfNowWhereTheyAreSaid(t *testing.T) {
	addr := netip.MustParseAddr
	stored := model.Facts{
		Door: 1, Failsafe: []model.Failsafe{{Port: 1}}, Resolvers: []netip.Addr{addr("192.0.2.2")},
		PodRange: netip.MustParsePrefix("10.42.1.0/24"),
	}
	now := merge(stored, model.Facts{Resolvers: []netip.Addr{addr("192.0.2.2"), addr("192.0.2.1")}})
	if now.Door != 1 || len(now.Failsafe) != 1 || fmt.Sprint(now.Resolvers) != "[192.0.2.1 192.0.2.2]" || !now.PodRange.IsValid() {
		t.Errorf("facts are %+v", now)
	}
	now = merge(stored, model.Facts{Door: 6443, Failsafe: []model.Failsafe{{Port: 22}}})
	if now.Door != 6443 || now.Failsafe[0].Port != 22 {
		t.Errorf("facts are %+v", now)
	}
}

func TestPacketsOfAQuestion(t *testing.T) {
	for in, want := range map[[3]string]string{
		{"192.0.2.1", "192.0.2.2:80", ""}:          "tcp 192.0.2.1:0 192.0.2.2:80",
		{"[2001:db8::1]:5", "2001:db8::2", "icmp"}: "icmp [2001:db8::1]:5 [2001:db8::2]:0",
		{"a", "192.0.2.2", "tcp"}:                  "error",
		{"192.0.2.1", "", "tcp"}:                   "error",
		{"192.0.2.1", "192.0.2.2", "gre"}:          "error",
	} {
		p, err := packetOf(in[0], in[1], in[2])
		got := fmt.Sprint(p.Protocol, " ", p.From, " ", p.To)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%v is %s (%v), want %s", in, got, err, want)
		}
	}
}
