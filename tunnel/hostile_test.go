package tunnel_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/transport"
)

func admitOnly(yes *atomic.Bool) func(context.Context, tunnel.NodeName, *x509.Certificate) error {
	return func(context.Context, tunnel.NodeName, *x509.Certificate) error {
		if yes.Load() {
			return nil
		}
		return errors.New("the node was deleted")
	}
}

// rogue is a node that speaks the protocol and does with it what it likes.
type rogue struct {
	cfg   transport.DialConfig
	grant bytes.Buffer // as the hub sent it
}

func newRogue(t testing.TB, a *authority, name, addr string) *rogue {
	t.Helper()
	cert, key := a.leaf(t, a.client, nodeNames(name))
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &rogue{cfg: transport.DialConfig{
		Config: quick, URL: "wss://" + addr + wire.PathConnect,
		TLS: &tls.Config{RootCAs: pki.Pool(a.server.Cert), ServerName: wire.ServerIdentity, Certificates: []tls.Certificate{pair}},
		Hello: transport.Hello{Capabilities: []string{
			transport.CapabilityLanes, transport.CapabilityRelay, "unheard-of",
		}},
	}}
}

// connect makes a control session and keeps the grant. A node that is silent
// leaves the proof unanswered.
func (r *rogue) connect(t testing.TB, silent bool) (*transport.Session, error) {
	t.Helper()
	cfg, granted := r.cfg, make(chan struct{})
	cfg.Dial = func(ctx context.Context, target tunnel.Target) (net.Conn, error) {
		theirs, ours := net.Pipe()
		if silent || target != tunnel.TargetProof {
			context.AfterFunc(ctx, func() { _ = ours.Close() })
			return theirs, nil
		}
		go func() {
			defer close(granted)
			defer ours.Close()
			_, _ = io.CopyN(ours, ours, tunnel.ProofSize)
			_, _ = io.CopyN(io.Discard, ours, 1)
			_, _ = io.Copy(&r.grant, ours)
		}()
		return theirs, nil
	}
	session, err := transport.Dial(t.Context(), cfg)
	if err != nil || silent {
		return session, err
	}
	select {
	case <-granted:
	case <-session.Done():
	}
	return session, nil
}

func (r *rogue) grantCopy(t testing.TB) *transport.Grant {
	t.Helper()
	g, err := transport.ReadGrant(bytes.NewReader(r.grant.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (r *rogue) lane(t testing.TB, g *transport.Grant, class tunnel.Lane, index int) (net.Conn, error) {
	conn, err := transport.DialLane(t.Context(), r.cfg, g, class, index)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// lines counts log lines with a text.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func wantRefusal(t *testing.T, what string, err error, kind tunnel.Refusal) {
	t.Helper()
	var refused *tunnel.RefusedError
	if !errors.As(err, &refused) || refused.Kind != kind || refused.Reason == "" {
		t.Errorf("%s: %v, want a refusal of kind %s", what, err, kind)
	}
}

func TestForgedLanesAreRefusedAndLoggedOnce(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	log := &lines{}
	srv := startServerLog(t, a, "127.0.0.1:0", nil, slog.New(slog.NewTextHandler(log, nil)))
	victim := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	waitLane(t, srv, victim, tunnel.LaneInteractive)
	open := dial(t, srv.hub, "edge-1", addr)
	since := srv.hub.Status()[0].Since

	evil := newRogue(t, a, "edge-2", srv.addr)
	_, err := evil.lane(t, transport.NewGrant(), tunnel.LaneInteractive, 0)
	wantRefusal(t, "a lane without a session", err, tunnel.RefusedIdentity)
	session, err := evil.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { session.Close(errors.New("over")); <-session.Done() }()

	for range 20 {
		_, err = evil.lane(t, transport.NewGrant(), tunnel.LaneInteractive, 0)
		wantRefusal(t, "a wrong proof", err, tunnel.RefusedIdentity)
	}
	first, second := evil.grantCopy(t), evil.grantCopy(t)
	if _, err := evil.lane(t, first, tunnel.LaneInteractive, 0); err != nil {
		t.Fatalf("its own lane: %v", err)
	}
	_, err = evil.lane(t, second, tunnel.LaneInteractive, 0)
	wantRefusal(t, "a proof that was used", err, tunnel.RefusedIdentity)
	_, err = evil.lane(t, first, tunnel.LaneBulk, 7)
	wantRefusal(t, "a lane too many", err, tunnel.RefusedOverload)
	_, err = evil.lane(t, first, tunnel.LaneRelay, 0)
	wantRefusal(t, "a lane that was not agreed on", err, tunnel.RefusedOverload)
	_, err = evil.lane(t, first, tunnel.LaneControl, 0)
	wantRefusal(t, "a class that has no lanes", err, tunnel.RefusedProtocol)

	stolen := newRogue(t, a, "edge-1", srv.addr)
	stolen.cfg.TLS.Certificates = evil.cfg.TLS.Certificates
	_, err = stolen.lane(t, transport.NewGrant(), tunnel.LaneInteractive, 0)
	wantRefusal(t, "another node's session", err, tunnel.RefusedIdentity)

	if n := log.count("tunnel refused"); n != 1 {
		t.Errorf("%d lines about refusals:\n%s", n, log.buf.String())
	}
	mustRoundTrip(t, open)
	if now := srv.hub.Status()[0].Since; !now.Equal(since) {
		t.Error("the other node's session was replaced")
	}
}

func TestLanesOfAnEndedSessionAreRefused(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	evil := newRogue(t, a, "edge-2", srv.addr)
	old, err := evil.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	grant := evil.grantCopy(t)
	evil.grant.Reset()
	session, err := evil.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	<-old.Done()
	_, err = evil.lane(t, grant, tunnel.LaneInteractive, 0)
	wantRefusal(t, "a lane of the older session", err, tunnel.RefusedIdentity)
	if _, err := evil.lane(t, evil.grantCopy(t), tunnel.LaneInteractive, 0); err != nil {
		t.Errorf("a lane of the newer session: %v", err)
	}
	session.Close(errors.New("over"))
	<-session.Done()
	eventually(t, "the hub to know", func() bool { return !srv.hub.Status()[0].Connected })
	_, err = evil.lane(t, evil.grantCopy(t), tunnel.LaneInteractive, 0)
	wantRefusal(t, "a lane without a session", err, tunnel.RefusedIdentity)
}

func TestNodeCanMakeTheHubDialNothing(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	evil := newRogue(t, a, "edge-2", srv.addr)
	session, err := evil.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { <-session.Done() }()
	conn, err := evil.lane(t, evil.grantCopy(t), tunnel.LaneInteractive, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(true, mux.Config{Ping: quick.Ping, Silence: quick.Silence})
	defer func() { m.Close(errors.New("over")); <-m.Done() }()
	if _, err := m.Attach(tunnel.LaneInteractive, 0, conn); err != nil {
		t.Fatal(err)
	}
	for _, target := range []tunnel.Target{
		{Network: "tcp", Address: addr}, tunnel.TargetProof, tunnel.TargetEcho, {Network: "tcp", Address: "127.0.0.1:6443"},
	} {
		_, err := m.Open(t.Context(), target)
		wantRefusal(t, "dial "+target.String(), err, tunnel.RefusedAccess)
	}
	// On the control lane the attempt ends the session of who tries.
	if _, err := session.Open(t.Context(), tunnel.Target{Network: "tcp", Address: addr}); err == nil {
		t.Error("dialled over the control lane")
	}
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
}

func TestHalfOpenHandshakesOfOneNodeBlockNobody(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	evil := newRogue(t, a, "edge-2", srv.addr)
	evil.cfg.Silence = 20 * time.Second
	var held []*transport.Session
	refused := 0
	for range 100 {
		session, err := evil.connect(t, true)
		var no *tunnel.RefusedError
		switch {
		case err == nil:
			held = append(held, session)
		case errors.As(err, &no) && no.Kind == tunnel.RefusedOverload && no.RetryAfter > 0:
			refused++
		default:
			t.Fatal(err)
		}
	}
	if len(held) != 2 || refused != 98 {
		t.Errorf("%d handshakes are held and %d were refused", len(held), refused)
	}
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	mustRoundTrip(t, dial(t, srv.hub, "edge-1", addr))
	for _, s := range held {
		s.Close(errors.New("over"))
		<-s.Done()
	}
}

func TestNodesThatFindTheServerBusyComeAgain(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) { c.Handshakes, c.Queue = 1, 1 })
	var nodes []*node
	for _, name := range []string{"edge-1", "edge-2", "edge-3", "edge-4", "edge-5", "edge-6"} {
		nodes = append(nodes, startNode(t, nodeConfig(t, a, nodeNames(name), srv.addr, access.Rules{})))
	}
	for _, n := range nodes {
		n.waitReady(t)
	}
}

func TestHugeHeadersAreRefused(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	evil := newRogue(t, a, "edge-2", srv.addr)
	client := &http.Transport{TLSClientConfig: evil.cfg.TLS}
	defer client.CloseIdleConnections()
	for name, c := range map[string]struct {
		header string
		size   int
	}{
		"lane": {"Kedge-Tunnel-Lane", 500 << 10}, "session": {"Kedge-Tunnel-Session", 500 << 10},
		"versions": {"Kedge-Tunnel-Versions", 500 << 10}, "more than HTTP takes": {"Kedge-Tunnel-Software", 2 << 20},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+srv.addr+wire.PathConnect, nil)
		req.Header.Set(c.header, strings.Repeat("1", c.size))
		resp, err := client.RoundTrip(req)
		if err != nil {
			continue // the server closed while the header was sent
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode < 400 || len(body) > 4<<10 {
			t.Errorf("%s: %s with %d bytes", name, resp.Status, len(body))
		}
	}
	if st := srv.hub.Status(); len(st) != 0 {
		t.Errorf("the hub knows %+v", st)
	}
}

// TestRelayWithoutLanesIsNotBelieved sends a packet to a node that claims to
// take packets and has nothing that they could come by.
func TestRelayWithoutLanesIsNotBelieved(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "", func(c *hub.Config) { c.Packet = func(tunnel.NodeName, []byte) {} })
	r := newRogue(t, a, "node-a", srv.addr)
	r.cfg.Hello.Capabilities = []string{transport.CapabilityRelay}
	session, err := r.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { session.Close(errors.New("done")); <-session.Done() }()
	if srv.hub.SendPacket("node-a", []byte("packet")) {
		t.Error("a packet was taken")
	}
	st, ok := srv.hub.StatusOf("node-a")
	if !ok || !st.Connected || len(st.Capabilities) != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestTextsOfANodeDoNotReachATerminalRaw looks at what a node says last, which
// an administrator is shown.
func TestTextsOfANodeDoNotReachATerminalRaw(t *testing.T) {
	const screen = "gone\x1b[2J"
	if e := tunnel.ParseEnding(append([]byte{1}, screen...)); e.Text != "gone?[2J" {
		t.Errorf("got %q", e.Text)
	}
	a := newAuthority(t)
	srv := startServer(t, a, "", nil)
	session, err := newRogue(t, a, "node-a", srv.addr).connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	session.Close(errors.New(screen))
	<-session.Done()
	var said string
	eventually(t, "the node is gone", func() bool {
		st, ok := srv.hub.StatusOf("node-a")
		said = st.LastError
		return ok && !st.Connected && said != ""
	})
	if !strings.Contains(said, "gone") || strings.Contains(said, "\x1b") {
		t.Errorf("got %q", said)
	}
}

// TestDisconnectEndsWhatIsNotProvenYet has a machine that was replaced hold back
// its proof until the new one has joined.
func TestDisconnectEndsWhatIsNotProvenYet(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "", nil)
	for name, end := range map[string]func(tunnel.NodeName){
		"replaced": func(n tunnel.NodeName) { srv.hub.Disconnect(n, errors.New("replaced")) },
		"deleted":  srv.hub.Forget,
	} {
		r := newRogue(t, a, name, srv.addr)
		r.cfg.Silence = 20 * time.Second
		session, err := r.connect(t, true)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the session to end", func() bool {
			end(tunnel.NodeName(name)) // it may just have been accepted
			select {
			case <-session.Done():
				return true
			default:
				return false
			}
		})
		if err := session.Err(); !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
