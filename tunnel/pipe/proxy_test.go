package pipe

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http/httpproxy"
)

func quietErrors() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) }

// connectProxy is an HTTP proxy that wants a user and a password.
type connectProxy struct {
	*httptest.Server
	asked atomic.Int32
	deny  atomic.Bool
	wg    sync.WaitGroup
}

func startProxy(t *testing.T, secure bool) *connectProxy {
	t.Helper()
	p := &connectProxy{}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = quietErrors()
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(func() { p.Close(); p.wg.Wait() })
	return p
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("edge:s3cret"))
	switch {
	case r.Method != http.MethodConnect:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.Header.Get("Proxy-Authorization") != want:
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case p.deny.Load():
		w.WriteHeader(http.StatusForbidden)
		return
	}
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	// Not WriteHeader: the server may read on until the connection is ours.
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		p.wg.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = pair[0].Close()
		})
	}
}

// proxied sends everything through the proxy, as a user with this password.
func proxied(t *testing.T, s *server, p *connectProxy, user *url.Userinfo) Config {
	t.Helper()
	cfg := s.config()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	cfg.Proxy = http.ProxyURL(u)
	if u.Scheme == "https" {
		cfg.ProxyRoots = x509.NewCertPool()
		cfg.ProxyRoots.AddCert(p.Certificate())
	}
	return cfg
}

func TestConnectProxyWithAPassword(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s, p := startServer(t), startProxy(t, secure)
		cfg := proxied(t, s, p, url.UserPassword("edge", "s3cret"))
		s.mustTalk(t, New(cfg, quietLog()), s.addr, 1<<20)
		if p.asked.Load() < 2 {
			t.Error("the proxy was not asked")
		}
	}
}

func TestConnectProxyAndBehindItOneThatEndsTLS(t *testing.T) {
	s, p := startServer(t), startProxy(t, false)
	addr, _ := inBetween(t, s.addr)
	cfg := proxied(t, s, p, url.UserPassword("edge", "s3cret"))
	cfg.Server = addr
	d := New(cfg, quietLog())
	s.mustTalk(t, d, addr, 1<<20)
	if !d.Piped(addr) || p.asked.Load() < 3 {
		t.Errorf("piped %v, proxy asked %d times", d.Piped(addr), p.asked.Load())
	}
}

func TestRefusalOfAProxyNamesStatusAndRemedyButNoPassword(t *testing.T) {
	s, p := startServer(t), startProxy(t, false)
	p.deny.Store(true)
	for password, words := range map[string][]string{
		"wr0ng":  {"407", "HTTPS_PROXY", s.addr},
		"s3cret": {"403", "NO_PROXY", s.addr},
	} {
		_, err := New(proxied(t, s, p, url.UserPassword("edge", password)), quietLog()).DialContext(t.Context(), "tcp", s.addr)
		var refused *ProxyError
		if !errors.As(err, &refused) {
			t.Fatalf("got %v", err)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q is not in: %v", word, err)
			}
		}
		if strings.Contains(err.Error(), password) {
			t.Errorf("the password is shown: %v", err)
		}
	}
}

func TestNoProxyIsHeeded(t *testing.T) {
	s, p := startServer(t), startProxy(t, false)
	env := &httpproxy.Config{HTTPSProxy: p.URL, NoProxy: "192.0.2.0/24,.internal"}
	choose := env.ProxyFunc()
	cfg := s.config()
	cfg.Proxy = func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
	cfg.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(addr); host == "192.0.2.7" {
			addr = s.addr
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	d := New(cfg, quietLog())
	s.mustTalk(t, d, "192.0.2.7:6443", 10)
	if p.asked.Load() != 0 {
		t.Error("the proxy was asked in spite of NO_PROXY")
	}
	if _, err := d.DialContext(t.Context(), "tcp", "198.51.100.7:6443"); err == nil || p.asked.Load() == 0 {
		t.Errorf("the proxy was not asked: %v", err)
	}
}

func TestProxyThatDoesNotAnswerEndsWithTheContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = readHead(c)
			cancel()
			held <- c
		}
		close(held)
	}()
	s := startServer(t)
	cfg := s.config()
	cfg.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()})
	_, err = New(cfg, quietLog()).DialContext(ctx, "tcp", s.addr)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if c := <-held; c != nil {
		_ = c.Close()
	}
	cfg.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: l.Addr().String()})
	if _, err = New(cfg, quietLog()).DialContext(t.Context(), "tcp", s.addr); err == nil || !strings.Contains(err.Error(), "http://") {
		t.Errorf("an unknown scheme: %v", err)
	}
}

func FuzzProxyAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x01"))
	f.Add([]byte("HTTP/1.0 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nffffffffffffffff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		head, err := readHead(r)
		if err != nil {
			return
		}
		if len(head)+r.Len() != len(text) || len(head) > maxProxyAnswer {
			t.Fatalf("a header of %d bytes and %d left of %d", len(head), r.Len(), len(text))
		}
		if _, code, err := parseAnswer(head); err == nil && code < 0 {
			t.Fatal(code)
		}
	})
}
