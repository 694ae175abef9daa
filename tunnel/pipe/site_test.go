package pipe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func authority(t *testing.T, name string) *pki.CA {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.EnsureCA(filepath.Join(dir, "crt"), filepath.Join(dir, "key"), name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func certificate(t *testing.T, ca *pki.CA, names pki.Names) tls.Certificate {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign(&key.PublicKey, names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// server is a stand-in for a kedge server: its port, its pipe, its identity.
type server struct {
	ca   *pki.CA
	addr string
	l    *Listener
	http *http.Server
	done chan error
	// lastPeer is the common name of the latest client certificate.
	lastPeer atomic.Value
}

func startServer(t *testing.T) *server {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ca: authority(t, "cluster"), addr: tcp.Addr().String(), l: Listen(tcp, quietLog()), done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.Handle(wire.PathPipe, s.l.Handler())
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			s.lastPeer.Store(certs[0].Subject.CommonName)
		}
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/raw", raw)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	config := &tls.Config{
		ClientAuth:   tls.RequestClientCert,
		Certificates: []tls.Certificate{certificate(t, s.ca, pki.Names{CommonName: "s", DNS: []string{wire.ServerIdentity}, Server: true})},
	}
	go func() { s.done <- s.http.Serve(tls.NewListener(s.l, config)) }()
	t.Cleanup(func() {
		_ = s.http.Close()
		if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

// raw takes the connection over, as exec and tunnels do, and echoes.
func raw(w http.ResponseWriter, _ *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"))
	_, _ = io.Copy(conn, rw)
}

func (s *server) config() Config {
	return Config{Server: s.addr, TLS: s.tls}
}

func (s *server) tls() (*tls.Config, error) { return pki.ServerTLS(pki.Pool(s.ca.Cert), time.Now), nil }

// secure speaks the cluster's TLS on a dialled connection.
func (s *server) secure(t *testing.T, conn net.Conn) *tls.Conn {
	t.Helper()
	config, _ := s.tls()
	own := certificate(t, s.ca, pki.Names{CommonName: "node-a", Client: true})
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return secure
}

// mustTalk sends a request with a client certificate and compares the answer.
func (s *server) mustTalk(t *testing.T, d *Dialer, addr string, size int) {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secure := s.secure(t, conn)
	client := &http.Client{Transport: &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return secure, nil },
		DisableKeepAlives: true,
	}}
	body := strings.Repeat("x", size)
	response, err := client.Post("https://any/hello", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || string(got) != body {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if peer := s.lastPeer.Swap(""); peer != "node-a" {
		t.Fatalf("the server saw %v, not the client's certificate", peer)
	}
}

// seen is what a proxy that ends TLS could read.
type seen struct {
	mu    sync.Mutex
	lines []string
}

func (s *seen) add(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header))
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// inBetween is a proxy that ends TLS with a certificate of its own.
func inBetween(t *testing.T, to string) (addr string, s *seen) {
	t.Helper()
	s = &seen{}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: to})
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	forward.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		forward.ServeHTTP(w, r)
	}))
	front.Config.ErrorLog = forward.ErrorLog
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.Listener.Addr().String(), s
}
