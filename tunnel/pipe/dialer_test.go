package pipe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

func TestBytesGoStraightToAServerThatAnswersItself(t *testing.T) {
	s := startServer(t)
	d := New(s.config(), quietLog())
	s.mustTalk(t, d, s.addr, 1000)
	if d.Piped(s.addr) {
		t.Error("a websocket is used without need")
	}
}

func TestThroughAProxyThatEndsTLS(t *testing.T) {
	s := startServer(t)
	addr, seen := inBetween(t, s.addr)
	cfg := s.config()
	cfg.Server = addr
	d := New(cfg, quietLog())
	s.mustTalk(t, d, addr, 3<<20)
	s.mustTalk(t, d, addr, 1)
	if !d.Piped(addr) {
		t.Fatal("the connection was not piped")
	}
	for _, word := range []string{"hello", "node-a"} {
		if strings.Contains(seen.String(), word) {
			t.Errorf("the proxy could read %q:\n%s", word, seen)
		}
	}
	if !strings.Contains(seen.String(), wire.PathPipe) {
		t.Errorf("the proxy has not seen the pipe:\n%s", seen)
	}
}

func TestConnectionsThatAreTakenOverWorkThroughAPipe(t *testing.T) {
	s := startServer(t)
	addr, _ := inBetween(t, s.addr)
	cfg := s.config()
	cfg.Server = addr
	conn, err := New(cfg, quietLog()).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secure := s.secure(t, conn)
	if _, err := secure.Write([]byte("GET /raw HTTP/1.1\r\nHost: any\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	head, err := readHead(secure)
	if err != nil || !strings.Contains(string(head), "101") {
		t.Fatalf("%q, %v", head, err)
	}
	for _, word := range []string{"ping", "pong"} {
		if _, err := secure.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, len(word))
		if _, err := io.ReadFull(secure, buf); err != nil || string(buf) != word {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	// The end of one direction is told, and the other one goes on.
	if err := secure.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(secure); err != nil || len(rest) != 0 {
		t.Fatalf("%q, %v", rest, err)
	}
}

func TestImpostorIsNamedAndGetsNothing(t *testing.T) {
	s, other := startServer(t), startServer(t)
	d := New(s.config(), quietLog())
	err := d.Prove(t.Context(), other.addr)
	var impostor *ImpostorError
	if !errors.As(err, &impostor) || !strings.Contains(err.Error(), other.addr) {
		t.Fatalf("got %v", err)
	}
	if conn, err := d.DialContext(t.Context(), "tcp", other.addr); err == nil {
		_ = conn.Close()
		t.Fatal("a connection to an impostor")
	}
}

func TestNoWebsocketMeansAnErrorThatSaysSo(t *testing.T) {
	s, other := startServer(t), startServer(t)
	cfg := s.config()
	cfg.Server = other.addr // has a pipe, but to another cluster
	err := New(cfg, quietLog()).Prove(t.Context(), other.addr)
	var impostor *ImpostorError
	if !errors.As(err, &impostor) || !strings.Contains(err.Error(), "far end") {
		t.Fatalf("another cluster behind the pipe: %v", err)
	}
	plain := serveTLS(t, certificate(t, authority(t, "proxy"), pki.Names{CommonName: "corp-proxy", DNS: []string{"x"}, Server: true}))
	cfg.Server = plain
	err = New(cfg, quietLog()).Prove(t.Context(), plain)
	for _, word := range []string{"corp-proxy", "404", wire.PathPipe} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}

func serveTLS(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second, ErrorLog: quietErrors()}
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	t.Cleanup(func() { _ = h.Close(); <-done })
	return l.Addr().String()
}

// TestProxyThatAppearsLaterIsFound moves the server behind a proxy while the
// dialer believes that it answers itself.
func TestProxyThatAppearsLaterIsFound(t *testing.T) {
	s := startServer(t)
	behind, _ := inBetween(t, s.addr)
	var to atomic.Value
	to.Store(s.addr)
	cfg := s.config()
	cfg.Server = "server.example:6443"
	cfg.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	cfg.NetDial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, to.Load().(string))
	}
	d := New(cfg, quietLog())
	s.mustTalk(t, d, cfg.Server, 10)
	to.Store(behind)
	conn, err := d.DialContext(t.Context(), "tcp", cfg.Server)
	if err != nil {
		t.Fatal(err)
	}
	config, _ := s.tls()
	if err := tls.Client(conn, config).HandshakeContext(t.Context()); err == nil {
		t.Fatal("the proxy proved to be the cluster")
	}
	_ = conn.Close()
	// Within doubtEvery of the last look nothing is looked at again.
	d.way(cfg.Server).looked = time.Now().Add(-2 * doubtEvery)
	s.mustTalk(t, d, cfg.Server, 10)
	if !d.Piped(cfg.Server) {
		t.Error("not piped")
	}
	to.Store(s.addr) // and back: the websocket works without the proxy as well
	s.mustTalk(t, d, cfg.Server, 10)
}

func TestClientsThatFinishAreNoReasonForDoubt(t *testing.T) {
	s := startServer(t)
	d := New(s.config(), quietLog())
	s.mustTalk(t, d, s.addr, 10)
	if d.isDoubted(d.way(s.addr)) {
		t.Error("a whole request raised doubt")
	}
	conn, err := d.DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if d.isDoubted(d.way(s.addr)) {
		t.Error("a connection that was never used raised doubt")
	}
}

func TestNewAddressesAreFoundForEachConnection(t *testing.T) {
	one, two := startServer(t), startServer(t)
	addrs := map[string]string{"192.0.2.1:6443": one.addr, "192.0.2.2:6443": two.addr}
	var now atomic.Value
	now.Store([]netip.Addr{netip.MustParseAddr("192.0.2.1")})
	var to []string
	cfg := Config{
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return now.Load().([]netip.Addr), nil },
		NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to = append(to, addr)
			return (&net.Dialer{}).DialContext(ctx, network, addrs[addr])
		},
	}
	both := pki.Pool(one.ca.Cert, two.ca.Cert)
	cfg.TLS = func() (*tls.Config, error) { return pki.ServerTLS(both, time.Now), nil }
	d := New(cfg, quietLog())
	for range 2 {
		conn, err := d.DialContext(t.Context(), "tcp", "server.example:6443")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		now.Store([]netip.Addr{netip.MustParseAddr("192.0.2.2")})
	}
	if got := strings.Join(to, " "); got != "192.0.2.1:6443 192.0.2.1:6443 192.0.2.2:6443" {
		t.Errorf("dialled %s", got)
	}
}

func TestDeadAddressesOfANameCostNoConnection(t *testing.T) {
	refused := netip.MustParseAddr("192.0.2.1")
	silent, good := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.2")
	a, b := net.Pipe()
	defer b.Close()
	var open atomic.Int32
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		open.Add(1)
		defer open.Add(-1)
		switch host, _, _ := net.SplitHostPort(addr); host {
		case refused.String():
			return nil, errors.New("refused")
		case silent.String():
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return a, nil
	}
	lookup := func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{refused, good, silent}, nil }
	conn, err := race(t.Context(), lookup, dial, "server.example:6443")
	if err != nil || conn != a {
		t.Fatal(conn, err)
	}
	_ = conn.Close()
	lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
	if _, err := race(t.Context(), lookup, dial, "server.example:6443"); err == nil {
		t.Error("a name without addresses was dialled")
	}
}

func TestFamiliesTakeTurns(t *testing.T) {
	var in []netip.Addr
	for _, a := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"} {
		in = append(in, netip.MustParseAddr(a))
	}
	want := []netip.Addr{in[0], in[3], in[1], in[2]}
	for i, a := range interleave(in) {
		if a != want[i] {
			t.Fatalf("place %d: %s, want %s", i, a, want[i])
		}
	}
}
