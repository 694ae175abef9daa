package tunnel_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, h *hub.Hub, node tunnel.NodeName, addr string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := h.DialNode(ctx, node, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func roundTrip(conn net.Conn, text string) error {
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != text {
		return errors.New("got " + string(got))
	}
	return nil
}

func mustRoundTrip(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := roundTrip(conn, "hello"); err != nil {
		t.Fatal(err)
	}
}

func TestDialThroughReachesTheNode(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	n.waitReady(t)

	conn := dial(t, srv.hub, "edge-1", addr)
	mustRoundTrip(t, conn)
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) != 0 {
		t.Fatalf("after half close: %q, %v", rest, err)
	}
	eventually(t, "the stream of the proof to end", func() bool { return srv.hub.Status()[0].Streams == 1 })
	status := srv.hub.Status()
	if len(status) != 1 || status[0].Node != "edge-1" || !status[0].Connected || status[0].Streams != 1 || status[0].Software != "test" {
		t.Fatalf("status %+v", status)
	}
	_ = conn.Close()
	eventually(t, "the stream to be given back on both ends", func() bool {
		return srv.hub.Status()[0].Streams == 0 && n.Status().Streams == 0
	})
	eventually(t, "round trips to be measured", func() bool { return srv.hub.Status()[0].RTT > 0 && n.Status().RTT > 0 })
	if st := n.Status(); st.State != tunnel.StateReady || st.BytesIn == 0 || st.BytesOut == 0 {
		t.Fatalf("spoke status %+v", st)
	}
}

func TestDialKubeletUsesTheNodeName(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) { c.LocalNode = "server-1" })
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	_, port, _ := net.SplitHostPort(addr)
	for _, name := range []string{"edge-1", "server-1"} {
		conn, err := srv.hub.DialKubelet(t.Context(), "tcp", net.JoinHostPort(name, port))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustRoundTrip(t, conn)
		_ = conn.Close()
	}
}

func TestRefusedDialEndsOneStreamOnly(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	open := dial(t, srv.hub, "edge-1", addr)
	since := srv.hub.Status()[0].Since

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for target, kind := range map[string]tunnel.Refusal{
		"127.0.0.1:22":          tunnel.RefusedAccess,
		"169.254.169.254:80":    tunnel.RefusedAccess,
		"localhost:10250":       tunnel.RefusedAccess,
		closed.Addr().String():  tunnel.RefusedAccess,
		strings.Repeat("x", 99): tunnel.RefusedAccess,
	} {
		_, err := srv.hub.DialNode(t.Context(), "edge-1", "tcp", target)
		var refused *tunnel.RefusedError
		if !errors.As(err, &refused) || refused.Kind != kind || refused.Reason == "" {
			t.Errorf("dial %s: %v, want a refusal of kind %s", target, err, kind)
		}
	}
	if _, err := srv.hub.DialNode(t.Context(), "edge-1", "kedge", "proof"); err == nil {
		t.Error("an internal target was dialled for a user of the hub")
	}
	mustRoundTrip(t, open)
	if now := srv.hub.Status()[0].Since; !now.Equal(since) {
		t.Error("the session was replaced")
	}
}

func TestUnreachableTargetAnswersWithTheNodesReason(t *testing.T) {
	a := newAuthority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{KubeletPort: uint16(addr.Port)})).waitReady(t)
	_, err = srv.hub.DialNode(t.Context(), "edge-1", "tcp", addr.String())
	var refused *tunnel.RefusedError
	if !errors.As(err, &refused) || refused.Kind != tunnel.RefusedDial || !strings.Contains(refused.Reason, "refused") {
		t.Fatalf("got %v", err)
	}
}

func TestNewestSessionWinsAndOldStreamsEnd(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	first := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	first.waitReady(t)
	old := dial(t, srv.hub, "edge-1", addr)
	mustRoundTrip(t, old)
	remote := srv.hub.Status()[0].RemoteAddr

	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	eventually(t, "the old node's end to know why", func() bool {
		return strings.Contains(first.Status().LastError, "newer session")
	})
	first.stop()
	_ = old.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, tunnel.ErrSessionClosed) {
		t.Fatalf("read of the old stream: %v", err)
	}
	eventually(t, "the newer session to serve", func() bool {
		st := srv.hub.Status()[0]
		return st.Connected && st.RemoteAddr != remote
	})
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
}

func TestSpokeReconnectsAfterServerRestart(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	n.waitReady(t)
	conn := dial(t, srv.hub, "edge-1", addr)
	srv.stop()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, tunnel.ErrSessionClosed) {
		t.Fatalf("read after the stop: %v", err)
	}
	again := startServer(t, a, srv.addr, nil)
	// The new server waits for a node that it has not seen yet.
	eventually(t, "a dial through the restarted server", func() bool {
		c, err := again.hub.DialNode(t.Context(), "edge-1", "tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		return roundTrip(c, "again") == nil
	})
	if st := n.Status(); st.Reconnects != 1 || st.LastError == "" {
		t.Fatalf("status %+v", st)
	}
}

func TestStalledLinkIsNoticedByBothEndsAndHeals(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) { c.Wait = 20 * time.Second })
	l := startLine(t, srv.addr)
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), l.addr, rules))
	n.waitReady(t)
	conn := dial(t, srv.hub, "edge-1", addr)
	mustRoundTrip(t, conn)

	l.stall(true)
	_, err := conn.Read(make([]byte, 1))
	if !errors.Is(err, tunnel.ErrSessionClosed) && !strings.Contains(err.Error(), "nothing heard") {
		t.Fatalf("read on a stalled link: %v", err)
	}
	eventually(t, "both ends to know", func() bool {
		return !srv.hub.Status()[0].Connected && strings.Contains(n.Status().LastError, "nothing heard")
	})
	if got := srv.hub.Status()[0].LastError; !strings.Contains(got, "nothing heard") {
		t.Errorf("the hub says %q", got)
	}
	l.stall(false)
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
}

func TestIdleLinkStaysUp(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{}))
	n.waitReady(t)
	since := n.Status().Since
	<-time.After(3 * quick.Silence)
	if st := n.Status(); st.State != tunnel.StateReady || !st.Since.Equal(since) {
		t.Fatalf("status %+v", st)
	}
}

func TestDialOfUnknownNodeSaysWhatToDo(t *testing.T) {
	srv := startServer(t, newAuthority(t), "127.0.0.1:0", func(c *hub.Config) { c.Recent = time.Nanosecond })
	_, err := srv.hub.DialNode(t.Context(), "edge-9", "tcp", "127.0.0.1:10250")
	var missing *tunnel.NotConnectedError
	if !errors.As(err, &missing) || missing.Node != "edge-9" || !strings.Contains(err.Error(), "kedge status") {
		t.Fatalf("got %v", err)
	}
}

func TestDialWaitsForANodeThatIsComingBackOnlyAsLongAsItsContext(t *testing.T) {
	srv := startServer(t, newAuthority(t), "127.0.0.1:0", func(c *hub.Config) { c.Wait = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := srv.hub.DialNode(ctx, "edge-9", "tcp", "127.0.0.1:10250")
	var missing *tunnel.NotConnectedError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &missing) {
		t.Fatalf("got %v", err)
	}
}

func TestLargeCopyArrivesIntactBothWays(t *testing.T) {
	const size = 50 << 20
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	conn := dial(t, srv.hub, "edge-1", addr)

	sent := sha256.New()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.Copy(io.MultiWriter(conn, sent), io.LimitReader(rand.Reader, size)); err != nil {
			t.Errorf("send: %v", err)
		}
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	})
	got := sha256.New()
	n, err := io.Copy(got, conn)
	wg.Wait()
	if err != nil || n != size {
		t.Fatalf("received %d bytes: %v", n, err)
	}
	if string(sent.Sum(nil)) != string(got.Sum(nil)) {
		t.Fatal("what came back is not what was sent")
	}
}

// Plain remotedialer stops every stream of a session once a few are unread in
// both directions.
func TestUnreadStreamsStopNobodyElse(t *testing.T) {
	a := newAuthority(t)
	flood := func(c *net.TCPConn) {
		first := make([]byte, 1)
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
		if first[0] == 'e' {
			_, _ = c.Write(first)
			echo(c)
			return
		}
		chunk := make([]byte, 64<<10)
		for {
			if _, err := c.Write(chunk); err != nil { // and never read
				return
			}
		}
	}
	addr, rules := listen(t, flood)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	var wg sync.WaitGroup
	for range 40 {
		conn := dial(t, srv.hub, "edge-1", addr)
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		wg.Go(func() {
			chunk := make([]byte, 64<<10)
			for {
				if _, err := conn.Write(chunk); err != nil {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("unread stream: %v", err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	conn := dial(t, srv.hub, "edge-1", addr)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := roundTrip(conn, "e hello beside 40 full streams"); err != nil {
		t.Fatal(err)
	}
}

func TestStreamsOverTheLimitAreRefused(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	cfg.Session.MaxStreams, cfg.Lanes.MaxStreams = 3, 3
	n := startNode(t, cfg)
	n.waitReady(t)
	eventually(t, "the stream of the proof to end", func() bool { return n.Status().Streams == 0 })
	conns := make([]net.Conn, 3)
	for i := range conns {
		conns[i] = dial(t, srv.hub, "edge-1", addr)
	}
	_, err := srv.hub.DialNode(t.Context(), "edge-1", "tcp", addr)
	var refused *tunnel.RefusedError
	if !errors.As(err, &refused) || refused.Kind != tunnel.RefusedOverload {
		t.Fatalf("got %v", err)
	}
	_ = conns[0].Close()
	eventually(t, "a stream to be free again", func() bool { return n.Status().Streams == 2 })
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
}
