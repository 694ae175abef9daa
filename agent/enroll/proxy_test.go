package enroll

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

// middle is a proxy that ends TLS with its own certificate and keeps what it
// could read.
type middle struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

// newMiddle forwards the paths with one of the prefixes.
func newMiddle(t *testing.T, s *site, prefixes ...string) *middle {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	m := &middle{}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.note(fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header))
		for _, p := range prefixes {
			if strings.HasPrefix(r.URL.Path, p) {
				forward.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	}))
	m.Config.ErrorLog = log.New(io.Discard, "", 0)
	forward.ErrorLog = m.Config.ErrorLog
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

func (m *middle) note(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, line)
}

func (m *middle) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.seen, "\n")
}

func TestJoinThroughAProxyThatEndsTLSShowsItNothing(t *testing.T) {
	for name, prefixes := range map[string][]string{"all paths": {"/"}, "only kedge's": {wire.PathPrefix}} {
		s := newSite(t, time.Now)
		m := newMiddle(t, s, prefixes...)
		config := s.config(t)
		config.Server = m.URL
		e := mustJoin(t, config)
		if err := e.renew(t.Context(), nil); err != nil {
			t.Errorf("%s: renew: %v", name, err)
		}
		seen := m.text()
		for _, secret := range []string{bearer, "Authorization", wire.PathJoin, wire.PathRenew} {
			if strings.Contains(seen, secret) {
				t.Errorf("%s: the proxy has read %q:\n%s", name, secret, seen)
			}
		}
		if !strings.Contains(seen, wire.PathPipe) {
			t.Errorf("%s: no pipe:\n%s", name, seen)
		}
	}
}

func TestProxyWithoutWebsocketsIsNamedAtOnce(t *testing.T) {
	s := newSite(t, time.Now)
	m := newMiddle(t, s, wire.PathCACerts)
	config := s.config(t)
	config.Server = m.URL
	err := start(t, config).Join(t.Context())
	for _, word := range []string{wire.PathPipe, "404", "websockets"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
	if strings.Contains(m.text(), bearer) || s.asked.Load() != 0 {
		t.Error("the token was shown")
	}
}

func TestJoinThroughAConnectProxy(t *testing.T) {
	s := newSite(t, time.Now)
	var wg sync.WaitGroup
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " "); r.Method != http.MethodConnect || user != "Basic" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		out, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			})
		}
	}))
	proxy.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	config := s.config(t)
	config.Server = "https://server.example:6443" // only the proxy could know it
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.Proxy = http.ProxyURL(u)
	config.JoinTimeout = time.Second
	if err := start(t, config).Join(t.Context()); err == nil || !strings.Contains(err.Error(), "407") {
		t.Errorf("without a password: %v", err)
	}
	u.User = url.UserPassword("edge", "s3cret")
	config.Server, config.JoinTimeout = s.URL, 20*time.Second
	mustJoin(t, config)
	wg.Wait()
	proxy.Close()
}
