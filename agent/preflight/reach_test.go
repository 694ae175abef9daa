package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

func authority(t *testing.T) *pki.CA {
	t.Helper()
	ca, err := pki.NewCA("kedge-server-ca", today)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func token(ca *pki.CA) string {
	return wire.Token{Pin: pki.PinOf(ca.Cert), ID: "abc123", Secret: "abcdefghijklmnopqrstuvwxyz"}.Encode()
}

// site is a server as agents find it.
type site struct {
	ca    *pki.CA
	names pki.Names
	// issued and life are of its certificate, date what its clock shows.
	issued time.Time
	life   time.Duration
	date   time.Time
	// cacerts answers the question for authorities; nil for the right answer.
	cacerts http.HandlerFunc
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{ca: authority(t), names: pki.Names{CommonName: "kedge", DNS: []string{wire.ServerIdentity}, Server: true}, issued: today.Add(-time.Hour), life: 24 * time.Hour, date: today}
}

// start returns the address of the server.
func (s *site) start(t *testing.T) string {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.Issuer{CA: s.ca, Lifetime: s.life}.Issue(&key.PublicKey, s.names, s.issued)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := pipe.Listen(tcp, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.Handle(wire.PathPipe, listener.Handler())
	mux.HandleFunc(wire.PathCACerts, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.date.UTC().Format(http.TimeFormat))
		if s.cacerts != nil {
			s.cacerts(w, r)
			return
		}
		_, _ = w.Write(pki.EncodeCert(s.ca.Cert))
	})
	server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute}
	secure := tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{chain[0].Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12})
	go func() { _ = server.Serve(secure) }()
	t.Cleanup(func() { _ = server.Close() })
	return tcp.Addr().String()
}

// agent is a machine that is to join a server with a token.
func agent(addr, token string) *machine {
	m := fake(nil, nil)
	m.cfg.URL, m.cfg.Token = "https://"+addr, token
	return m
}

func TestServerOfTheTokenIsWell(t *testing.T) {
	s := newSite(t)
	addr := s.start(t)
	got := agent(addr, token(s.ca)).server(t.Context())
	expect(t, got)
	if len(got) != 1 || got[0].ID != finding.Server {
		t.Errorf("found %v", got)
	}
	joined := agent(addr, "")
	joined.cfg.Joined, joined.cfg.CA = true, []*x509.Certificate{s.ca.Cert}
	expect(t, joined.server(t.Context()))
}

func TestServersThatAreNotWell(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*site)
		ahead  time.Duration // of the clock of this host
		want   []string
	}{
		"starting": {func(s *site) {
			s.cacerts = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		}, 0, []string{"error server.not-ready: 503"}},
		"no kedge": {func(s *site) { s.cacerts = http.NotFound }, 0, []string{"error server.not-kedge: 404"}},
		"no certificates": {func(s *site) {
			s.cacerts = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }
		}, 0, []string{"error server.not-kedge: no certificates"}},
		"expired":             {func(s *site) { s.issued = today.Add(-48 * time.Hour) }, 0, []string{"error server.expired: counted from"}},
		"clock is behind":     {nil, -10 * time.Minute, []string{"warning server.clock: 10m0s apart"}},
		"clock is far ahead":  {nil, 20 * 365 * 24 * time.Hour, []string{"warning server.clock: apart", "warning server.clock: this clock is wrong"}},
		"not for its service": {func(s *site) { s.names.DNS = []string{"other.example"} }, 0, []string{"error server.certificate: other.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if c.change != nil {
				c.change(s)
			}
			m := agent(s.start(t), token(s.ca))
			m.wall = func() time.Time { return today.Add(c.ahead) }
			expect(t, m.server(t.Context()), c.want...)
		})
	}
}

func TestWrongPinIsNotSomebodyInBetween(t *testing.T) {
	s := newSite(t)
	expect(t, agent(s.start(t), token(authority(t))).server(t.Context()), "error server.pin: the token says")
}

// endTLS is a proxy that ends TLS in front of a server and shows its own
// certificate. Without the pipe it forwards everything else.
func endTLS(t *testing.T, to string, withPipe, withCA bool) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: to})
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == wire.PathPipe && !withPipe || r.URL.Path == wire.PathCACerts && !withCA {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.Listener.Addr().String()
}

func TestSomebodyInBetween(t *testing.T) {
	s := newSite(t)
	addr := s.start(t)
	expect(t, agent(endTLS(t, addr, true, true), token(s.ca)).server(t.Context()), "info server.between: forwards websockets")
	expect(t, agent(endTLS(t, addr, true, false), token(s.ca)).server(t.Context()), "info server.between: forwards websockets")
	expect(t, agent(endTLS(t, addr, false, true), token(s.ca)).server(t.Context()), "error server.between: forwards no websocket")
	expect(t, agent(endTLS(t, addr, false, false), token(s.ca)).server(t.Context()), "error server.not-kedge: 404")
	expect(t, agent(endTLS(t, addr, true, false), token(authority(t))).server(t.Context()), "error server.not-kedge: 404")
}

// listening accepts connections and treats them so.
func listening(t *testing.T, treat func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go treat(c)
		}
	}()
	return l.Addr().String()
}

func TestWaysThatLeadNowhere(t *testing.T) {
	ca := authority(t)
	closed := listening(t, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	_ = l.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct{ addr, want string }{
		"refused":   {refusing, "error server.refused: " + refusing},
		"mute":      {closed, "error server.timeout: says nothing"},
		"plain":     {plain.Listener.Addr().String(), "error server.no-tls: does not speak TLS"},
		"hangs up":  {listening(t, func(c net.Conn) { _ = c.Close() }), "error server.no-tls: hangs up"},
		"no server": {"", "error server.url: "},
	} {
		t.Run(name, func(t *testing.T) { expect(t, agent(c.addr, token(ca)).server(t.Context()), c.want) })
	}
	unnamed := agent("", token(ca))
	unnamed.cfg.URL = ""
	expect(t, unnamed.server(t.Context()), "error server.url: no server is named")
}

func TestNamesThatDoNotResolveAndResolversThatHang(t *testing.T) {
	ca := authority(t)
	m := agent("server.example:6443", token(ca))
	m.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "server.example", IsNotFound: true}
	}
	expect(t, m.server(t.Context()), "error server.name: server.example has no address")
	m.lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }
	expect(t, m.server(t.Context()), "error server.dns-timeout: no resolver answered for server.example")
	m.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "server misbehaving", Name: "server.example"}
	}
	expect(t, m.server(t.Context()), "error server.dns-timeout: misbehaving")
}

func TestProxyThatRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	t.Cleanup(proxy.Close)
	m := agent("server.example:6443", token(authority(t)))
	m.cfg.Proxy = func(*http.Request) (*url.URL, error) {
		u, err := url.Parse(proxy.URL)
		u.User = url.UserPassword("anna", "planted")
		return u, err
	}
	got := m.server(t.Context())
	expect(t, got, "error server.proxy: 407")
	if text := got[0].What; strings.Contains(text, "planted") {
		t.Errorf("the finding says %q", text)
	}
}

func TestTokens(t *testing.T) {
	s := newSite(t)
	addr := s.start(t)
	expect(t, agent(addr, "").server(t.Context()), "error server.token: no join token", "info server.reach: without a token")
	expect(t, agent(addr, "K1abc").server(t.Context()), "error server.token: malformed", "info server.reach: without a token")
}
