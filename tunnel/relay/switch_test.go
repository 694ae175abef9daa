package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/relay/packet"
)

// site is a switch with three nodes, b behind a port and the others behind
// links, and what each of them got.
type site struct {
	*Switch
	now  time.Time
	text bytes.Buffer
	mu   sync.Mutex
	got  map[tunnel.NodeName][][]byte
	away map[tunnel.NodeName]bool
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{now: time.Unix(1, 0), got: map[tunnel.NodeName][][]byte{}, away: map[tunnel.NodeName]bool{}}
	s.Switch = New(Config{Send: s.take, Now: func() time.Time { return s.now }}, slog.New(slog.NewTextHandler(&s.text, nil)))
	s.SetRoutes(map[netip.Prefix]tunnel.NodeName{
		netip.MustParsePrefix("10.42.1.0/24"): "a",
		netip.MustParsePrefix("10.42.2.0/24"): "b",
		netip.MustParsePrefix("10.42.3.0/24"): "c",
	})
	return s
}

func (s *site) take(node tunnel.NodeName, p []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away[node] {
		return false
	}
	s.got[node] = append(s.got[node], bytes.Clone(p))
	return true
}

func (s *site) stats(t *testing.T, node tunnel.NodeName) NodeStats {
	t.Helper()
	for _, n := range s.Stats().Nodes {
		if n.Node == node {
			return n
		}
	}
	t.Fatalf("no figures of node %s", node)
	return NodeStats{}
}

// udp is a packet as a TUN device gives it.
func udp(from, to string) []byte {
	p := make([]byte, packet.HeaderLen+28+4)
	ip := p[packet.HeaderLen:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], netip.MustParseAddr(from).AsSlice())
	copy(ip[16:], netip.MustParseAddr(to).AsSlice())
	return p
}

func TestPacketReachesTheNodeOfItsDestinationUnchanged(t *testing.T) {
	s := newSite(t)
	p := udp("10.42.1.5", "10.42.3.7")
	s.From("a", p)
	s.From("a", udp("10.42.1.1", "10.42.2.1")) // from the node itself
	if len(s.got["c"]) != 1 || !bytes.Equal(s.got["c"][0], p) || len(s.got["b"]) != 1 || len(s.got["a"]) != 0 {
		t.Fatalf("got %v", s.got)
	}
	if a, c := s.stats(t, "a"), s.stats(t, "c"); a.PacketsIn != 2 || len(a.Dropped) != 0 || c.PacketsOut != 1 || c.BytesOut != int64(len(p)) {
		t.Errorf("a %+v, c %+v", a, c)
	}
}

func TestNodeSendsOnlyFromItsOwnRange(t *testing.T) {
	s := newSite(t)
	for _, source := range []string{"10.42.2.5", "10.42.9.1", "192.168.1.1", "127.0.0.1", "0.0.0.0"} {
		for range 100 {
			s.From("a", udp(source, "10.42.3.7"))
		}
	}
	if len(s.got) != 0 {
		t.Fatalf("got %v", s.got)
	}
	if n := s.stats(t, "a").Dropped[ForeignSource]; n != 500 {
		t.Errorf("%d counted", n)
	}
	if lines := strings.Count(s.text.String(), "\n"); lines != 1 || !strings.Contains(s.text.String(), "node=a reason=foreign-source source=10.42.2.5") {
		t.Errorf("%d lines: %s", lines, &s.text)
	}
	s.From("b", udp("10.42.2.5", "10.42.3.7"))
	if len(s.got["c"]) != 1 {
		t.Error("another node is affected")
	}
}

func TestNodeWithoutARangeSendsNothing(t *testing.T) {
	s := newSite(t)
	s.From("x", udp("10.42.1.5", "10.42.3.7"))
	if len(s.got) != 0 || s.Stats().Strange != 1 {
		t.Fatalf("got %v, %+v", s.got, s.Stats())
	}
}

func TestPacketNeverGoesBackToItsSender(t *testing.T) {
	s := newSite(t)
	s.From("a", udp("10.42.1.5", "10.42.1.7"))
	if len(s.got) != 0 || s.stats(t, "a").Dropped[Returned] != 1 {
		t.Fatalf("got %v", s.got)
	}
}

func TestSenderLearnsOfUnknownDestinationsAtALimitedRate(t *testing.T) {
	s := newSite(t)
	for range 1000 {
		s.From("a", udp("10.42.1.5", "10.42.77.7"))
	}
	if len(s.got["a"]) != 1 {
		t.Fatalf("%d answers", len(s.got["a"]))
	}
	info, fault := packet.Parse(s.got["a"][0])
	if fault != packet.None || info.Destination.String() != "10.42.1.5" || info.Protocol != 1 {
		t.Errorf("%+v %q", info, fault)
	}
	s.now = s.now.Add(answerEvery)
	s.From("a", udp("10.42.1.5", "10.42.77.7"))
	if len(s.got["a"]) != 2 {
		t.Error("no answer later")
	}
	s.From("a", udp("10.42.1.5", "224.0.0.1"))
	s.From("b", udp("10.42.2.5", "10.42.77.7"))
	if len(s.got["a"]) != 2 || len(s.got["b"]) != 1 {
		t.Error("the limit is not the sender's own")
	}
}

func TestNodeThatIsAwayLosesItsPacketsOnly(t *testing.T) {
	s := newSite(t)
	s.away["b"] = true
	s.From("a", udp("10.42.1.5", "10.42.2.7"))
	s.From("a", udp("10.42.1.5", "10.42.3.7"))
	if len(s.got["a"]) != 0 || len(s.got["c"]) != 1 {
		t.Fatalf("got %v", s.got)
	}
	if a, b := s.stats(t, "a"), s.stats(t, "b"); a.Dropped[NotTaken] != 1 || b.Lost != 1 {
		t.Errorf("a %+v, b %+v", a, b)
	}
}

func TestMalformedPacketsAreCountedByReason(t *testing.T) {
	s := newSite(t)
	six := udp("10.42.1.5", "10.42.2.7")
	six[packet.HeaderLen] = 0x60
	options := udp("10.42.1.5", "10.42.2.7")
	options[packet.HeaderLen] = 0x46
	offload := udp("10.42.1.5", "10.42.2.7")
	offload[1] = 1
	for _, p := range [][]byte{nil, six, options, offload} {
		s.From("a", p)
	}
	dropped := s.stats(t, "a").Dropped
	for _, r := range []packet.Fault{packet.Malformed, packet.IPv6, packet.Options, packet.Offload} {
		if dropped[Reason(r)] != 1 {
			t.Errorf("%s: %v", r, dropped)
		}
	}
	if len(s.got) != 0 || strings.Contains(s.text.String(), "ipv6") {
		t.Errorf("got %v, log %s", s.got, &s.text)
	}
}

func TestCountersAndPortsOutliveARoute(t *testing.T) {
	s := newSite(t)
	l := NewLocal(s.Switch, "b")
	var got int
	s.From("a", udp("10.42.1.5", "10.42.2.7")) // nobody receives yet
	l.SetReceiver(func([]byte) { got++ })
	s.From("a", udp("10.42.1.5", "10.42.2.7"))
	s.SetRoutes(map[netip.Prefix]tunnel.NodeName{
		netip.MustParsePrefix("10.42.1.0/24"): "a",
		netip.MustParsePrefix("10.42.8.0/22"): "b",
	})
	s.From("a", udp("10.42.1.5", "10.42.10.7"))
	l.Send(udp("10.42.11.1", "10.42.1.5"))
	s.From("a", udp("10.42.1.5", "10.42.3.7"))
	if b := s.stats(t, "b"); got != 2 || b.PacketsOut != 2 || b.Lost != 1 || len(s.got["a"]) != 2 || len(s.got["c"]) != 0 {
		t.Errorf("local got %d, links %v, %+v", got, s.got, b)
	}
	l.SetReceiver(nil)
	s.From("a", udp("10.42.1.5", "10.42.10.7"))
	s.Detach("b")
	s.From("a", udp("10.42.1.5", "10.42.10.7"))
	if got != 2 || len(s.got["b"]) != 1 {
		t.Errorf("local got %d, links %v", got, s.got)
	}
}

func TestRoutesChangeWhilePacketsFlow(t *testing.T) {
	s := newSite(t)
	var wg sync.WaitGroup
	for i, node := range []tunnel.NodeName{"a", "c"} {
		wg.Go(func() {
			p := udp(fmt.Sprintf("10.42.%d.5", 1+2*i), "10.42.2.7")
			for range 2000 {
				s.From(node, p)
			}
		})
	}
	l := NewLocal(s.Switch, "b")
	l.SetReceiver(func([]byte) {})
	for i := range 100 {
		s.SetRoutes(map[netip.Prefix]tunnel.NodeName{
			netip.MustParsePrefix("10.42.1.0/24"):                      "a",
			netip.MustParsePrefix("10.42.2.0/24"):                      "b",
			netip.MustParsePrefix(fmt.Sprintf("10.42.%d.0/24", 3+i%2)): "c",
		})
		s.Stats()
	}
	wg.Wait()
}

func BenchmarkFrom(b *testing.B) {
	s := New(Config{Send: func(tunnel.NodeName, []byte) bool { return true }}, slog.New(slog.DiscardHandler))
	routes := map[netip.Prefix]tunnel.NodeName{}
	for i := range 1000 {
		routes[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(40 + i/250), byte(i % 250), 0}), 24)] = tunnel.NodeName(fmt.Sprintf("node-%d", i))
	}
	s.SetRoutes(routes)
	p := udp("10.40.7.5", "10.42.9.7")
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		s.From("node-7", p)
	}
	if s.Stats().Nodes[0].PacketsIn > int64(b.N) {
		b.Fatal("counted too much")
	}
}
