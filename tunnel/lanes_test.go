package tunnel_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// waitLane waits until both ends have a lane of the class.
func waitLane(t testing.TB, srv *server, n *node, class tunnel.Lane) {
	t.Helper()
	eventually(t, "a lane of class "+string(class), func() bool {
		is := func(l tunnel.LaneStatus) bool { return l.Class == class && l.RTT > 0 }
		st := srv.hub.Status()
		return len(st) > 0 && slices.ContainsFunc(st[0].Lanes, is) && slices.ContainsFunc(n.Status().Lanes, is)
	})
}

func streamsOn(st hub.NodeStatus, class tunnel.Lane) (streams int) {
	for _, l := range st.Lanes {
		if l.Class == class {
			streams += l.Streams
		}
	}
	return streams
}

func TestStreamsLeaveTheControlLane(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	waitLane(t, srv, n, tunnel.LaneInteractive)
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
	eventually(t, "the stream of the proof to end", func() bool {
		return streamsOn(srv.hub.Status()[0], tunnel.LaneControl) == 0
	})
	if st := srv.hub.Status()[0]; streamsOn(st, tunnel.LaneInteractive) != 1 || !slices.Equal(st.Capabilities, []string{"lanes"}) {
		t.Errorf("status %+v", st)
	}
}

func TestEndsOfDifferentVersionsWorkTogether(t *testing.T) {
	for name, c := range map[string]struct{ oldNode, oldServer bool }{
		"old node":   {oldNode: true},
		"old server": {oldServer: true},
		"both old":   {oldNode: true, oldServer: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			addr, rules := listen(t, echo)
			srv := startServer(t, a, "127.0.0.1:0", func(h *hub.Config) {
				h.ControlOnly = c.oldServer
				h.Packet = func(tunnel.NodeName, []byte) {}
			})
			cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
			cfg.ControlOnly = c.oldNode
			cfg.Packet = func([]byte) {}
			n := startNode(t, cfg)
			n.waitReady(t)
			mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
			if st := srv.hub.Status()[0]; len(st.Lanes) != 1 || len(st.Capabilities) != 0 || len(n.Status().Capabilities) != 0 {
				t.Errorf("status %+v", st)
			}
			if srv.hub.SendPacket("edge-1", []byte("x")) || n.SendPacket([]byte("x")) {
				t.Error("a packet was taken without a lane for it")
			}
		})
	}
}

func TestPacketsCrossTheRelayLaneBothWays(t *testing.T) {
	a := newAuthority(t)
	fromNode, toNode := make(chan string, 64), make(chan string, 64)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) {
		c.Packet = func(node tunnel.NodeName, p []byte) { fromNode <- string(node) + " " + string(p) }
	})
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})
	cfg.Packet = func(p []byte) { toNode <- string(p) }
	n := startNode(t, cfg)
	waitLane(t, srv, n, tunnel.LaneRelay)
	if !n.SendPacket([]byte("up")) || !srv.hub.SendPacket("edge-1", []byte("down")) {
		t.Fatal("a packet was dropped on an idle lane")
	}
	if got := <-fromNode; got != "edge-1 up" {
		t.Errorf("the server got %q", got)
	}
	if got := <-toNode; got != "down" {
		t.Errorf("the node got %q", got)
	}
	eventually(t, "both to be counted", func() bool {
		st := srv.hub.Status()[0]
		return st.PacketsIn == 1 && st.PacketsOut == 1
	})
	if srv.hub.SendPacket("edge-2", []byte("nobody")) {
		t.Error("a packet for nobody was taken")
	}
}

func TestLargeCopyMovesToABulkLane(t *testing.T) {
	for name, target := range map[string]tunnel.Target{"up": tunnel.TargetSource, "down": tunnel.TargetSink} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			srv := startServer(t, a, "127.0.0.1:0", nil)
			n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{}))
			waitLane(t, srv, n, tunnel.LaneInteractive)
			conn, err := srv.hub.DialBench(t.Context(), "edge-1", target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			copied := make(chan struct{})
			go func() {
				defer close(copied)
				if target == tunnel.TargetSource {
					_, _ = io.Copy(io.Discard, conn)
					return
				}
				chunk := make([]byte, 32<<10)
				for {
					if _, err := conn.Write(chunk); err != nil {
						return
					}
				}
			}()
			eventually(t, "bytes on a bulk lane", func() bool {
				bulk := srv.hub.Status()[0].Bytes[tunnel.LaneBulk]
				return max(bulk.In, bulk.Out) > 1<<20
			})
			_ = conn.Close()
			<-copied
		})
	}
}

func TestSinkTellsHowMuchItGot(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})).waitReady(t)
	conn, err := srv.hub.DialBench(t.Context(), "edge-1", tunnel.TargetSink)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 3<<20 + 5
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil || len(answer) != 8 || binary.BigEndian.Uint64(answer) != size {
		t.Fatalf("answer %x, %v", answer, err)
	}
	if _, err := srv.hub.DialBench(t.Context(), "edge-1", tunnel.TargetProof); err == nil {
		t.Error("another target of the node's own was dialled")
	}
}

// lineFor makes the n-th connection of a spoke, counted from 1, go over l.
func lineFor(cfg *spoke.Config, nth int32, l *line) {
	var count atomic.Int32
	cfg.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if count.Add(1) == nth {
			addr = l.addr
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

func TestStalledLaneIsReplacedAlone(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	l := startLine(t, srv.addr)
	lineFor(&cfg, 2, l) // after the control lane comes the interactive one
	n := startNode(t, cfg)
	waitLane(t, srv, n, tunnel.LaneInteractive)
	since := srv.hub.Status()[0].Since
	conn := dial(t, srv.hub, "edge-1", addr)
	mustRoundTrip(t, conn)

	l.stall(true)
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, tunnel.ErrSessionClosed) {
		t.Fatalf("read on the stalled lane: %v", err)
	}
	eventually(t, "a dial over the new lane", func() bool {
		c, err := srv.hub.DialNode(t.Context(), "edge-1", "tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		return roundTrip(c, "again") == nil
	})
	if st := srv.hub.Status()[0]; !st.Since.Equal(since) || !st.Connected || st.Reconnects != 0 {
		t.Errorf("the session was replaced: %+v", st)
	}
}

func TestDialGoesOverTheControlLaneWhileThereIsNoOther(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	var count atomic.Int32
	cfg.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if count.Add(1) > 1 {
			return nil, errors.New("the line takes one connection only")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	startNode(t, cfg).waitReady(t)
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
}

func TestForgottenNodeIsGone(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	seen := &events{}
	var admitted atomic.Bool
	admitted.Store(true)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) {
		c.Observe, c.Recent, c.Admit = seen, time.Nanosecond, admitOnly(&admitted)
	})
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	waitLane(t, srv, n, tunnel.LaneInteractive)
	conn := dial(t, srv.hub, "edge-1", addr)
	admitted.Store(false)
	srv.hub.Forget("edge-1")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, tunnel.ErrSessionClosed) {
		t.Errorf("read of its stream: %v", err)
	}
	eventually(t, "the loss to be told", func() bool { return seen.downs.Load() == 1 })
	if st := srv.hub.Status(); len(st) != 0 {
		t.Errorf("the hub still knows %+v", st)
	}
	var missing *tunnel.NotConnectedError
	if _, err := srv.hub.DialNode(t.Context(), "edge-1", "tcp", addr); !errors.As(err, &missing) || !missing.LastSeen.IsZero() {
		t.Errorf("dial: %v", err)
	}
	if seen.ups.Load() != 1 || seen.dials.Load() != 2 || seen.failed.Load() != 1 {
		t.Errorf("observed %d ups, %d dials, %d of them failed", seen.ups.Load(), seen.dials.Load(), seen.failed.Load())
	}
}

type events struct{ ups, downs, dials, failed atomic.Int32 }

func (e *events) Up(tunnel.NodeName, bool)    { e.ups.Add(1) }
func (e *events) Down(tunnel.NodeName, error) { e.downs.Add(1) }
func (e *events) Dialled(_ tunnel.NodeName, err error, _ time.Duration) {
	e.dials.Add(1)
	if err != nil {
		e.failed.Add(1)
	}
}

func TestFailedDialsAreCountedByReason(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})).waitReady(t)
	for range 3 {
		if _, err := srv.hub.DialNode(t.Context(), "edge-1", "tcp", "127.0.0.1:22"); err == nil {
			t.Fatal("dialled")
		}
	}
	if got := srv.hub.Status()[0].DialErrors; got[tunnel.RefusedAccess] != 3 || len(got) != 1 {
		t.Errorf("counted %v", got)
	}
}
