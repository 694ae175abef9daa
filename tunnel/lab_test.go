package tunnel_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/spoke"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// quick makes a dead link known within a second, so that tests need not wait.
var quick = transport.Config{Ping: 200 * time.Millisecond, Silence: 800 * time.Millisecond}

var quickLanes = mux.Config{Ping: quick.Ping, Silence: quick.Silence, MaxSilence: quick.Silence}

// authority is a pair of CAs as a server has them, with a directory for files.
type authority struct {
	dir            string
	server, client *pki.CA
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.server = a.ca(t, "server-ca")
	a.client = a.ca(t, "client-ca")
	return a
}

func (a *authority) ca(t testing.TB, name string) *pki.CA {
	t.Helper()
	ca, err := pki.EnsureCA(filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key"), name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// leaf writes a key pair and returns the paths of certificate and key.
func (a *authority) leaf(t testing.TB, ca *pki.CA, names pki.Names) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, _, err := pki.EnsureLeaf(cert, key, ca, names, time.Now()); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func nodeNames(name string) pki.Names {
	return pki.Names{CommonName: "system:node:" + name, Organizations: []string{"system:nodes"}, Client: true}
}

// server is a hub behind a TLS listener, as the apiserver's is.
type server struct {
	hub  *hub.Hub
	addr string
	stop func()
}

func startServer(t testing.TB, a *authority, addr string, change func(*hub.Config)) *server {
	t.Helper()
	return startServerLog(t, a, addr, change, slog.New(slog.DiscardHandler))
}

func startServerLog(t testing.TB, a *authority, addr string, change func(*hub.Config), log *slog.Logger) *server {
	t.Helper()
	cfg := hub.Config{
		ClientCAs: func() *x509.CertPool { return pki.Pool(a.client.Cert) },
		Session:   quick, Lanes: quickLanes, Software: "test",
	}
	if change != nil {
		change(&cfg)
	}
	h, err := hub.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := a.leaf(t, a.server, pki.Names{CommonName: "kube-apiserver", DNS: []string{wire.ServerIdentity}, Server: true})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+wire.PathConnect, h.Handler())
	srv := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	tlsListener := tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"},
	})
	go func() {
		defer close(done)
		_ = srv.Serve(tlsListener)
	}()
	s := &server{hub: h, addr: listener.Addr().String()}
	s.stop = sync.OnceFunc(func() {
		h.Close()
		_ = srv.Close()
		<-done
	})
	t.Cleanup(s.stop)
	return s
}

// node is a running spoke.
type node struct {
	*spoke.Spoke
	ready chan struct{}
	stop  func()
}

func nodeConfig(t testing.TB, a *authority, names pki.Names, addr string, rules access.Rules) spoke.Config {
	t.Helper()
	cert, key := a.leaf(t, a.client, names)
	return spoke.Config{
		Server: "https://" + addr, CAFile: filepath.Join(a.dir, "server-ca.crt"), CertFile: cert, KeyFile: key,
		Rules: func() access.Rules { return rules }, Session: quick, Lanes: quickLanes, Software: "test",
	}
}

func startNode(t testing.TB, cfg spoke.Config) *node {
	t.Helper()
	s, err := spoke.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{Spoke: s, ready: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx, func() { close(n.ready) }); err != nil {
			t.Errorf("spoke: %v", err)
		}
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) waitReady(t testing.TB) {
	t.Helper()
	select {
	case <-n.ready:
	case <-time.After(20 * time.Second):
		t.Fatalf("the tunnel did not become ready: %+v", n.Status())
	}
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited too long for: %s", what)
		}
	}
}

// listen serves each connection with handle and returns rules that allow it.
func listen(t testing.TB, handle func(*net.TCPConn)) (string, access.Rules) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String(), access.Rules{KubeletPort: uint16(l.Addr().(*net.TCPAddr).Port)}
}

// echo returns what it gets and then half-closes.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

// line is a TCP proxy whose traffic can be stopped without closing anything.
type line struct {
	addr string
	mu   sync.Mutex
	free *sync.Cond
	hold bool
	over bool
}

func startLine(t testing.TB, target string) *line {
	t.Helper()
	l := &line{}
	l.free = sync.NewCond(&l.mu)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _ = errors.Join(in.Close(), out.Close()) })
			wg.Go(func() { l.carry(in, out) })
			wg.Go(func() { l.carry(out, in) })
		}
	})
	t.Cleanup(func() {
		l.mu.Lock()
		l.over = true
		l.free.Broadcast()
		l.mu.Unlock()
		cancel()
		_ = listener.Close()
		wg.Wait()
	})
	return l
}

func (l *line) carry(dst, src net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		l.mu.Lock()
		for l.hold && !l.over {
			l.free.Wait()
		}
		l.mu.Unlock()
		if err == nil {
			_, err = dst.Write(buf[:n])
		}
		if err != nil {
			_ = errors.Join(dst.Close(), src.Close())
			return
		}
	}
}

// stall stops or frees the line. What comes in meanwhile is kept, so that the
// ends see silence and nothing else.
func (l *line) stall(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = on
	l.free.Broadcast()
}
