package apilb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

// within is a generous bound on what must come about.
const within = 30 * time.Second

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func authority(t *testing.T) *pki.CA {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.EnsureCA(filepath.Join(dir, "crt"), filepath.Join(dir, "key"), "cluster", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// server is an API server of the cluster of ca, which tells its name.
type server struct {
	name  string
	ca    *pki.CA
	addr  string
	asked atomic.Int32
	slow  chan struct{} // answers of /slow wait for it
	stop  func()
}

func startServer(t *testing.T, ca *pki.CA, name, addr string) *server {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign(&key.PublicKey, pki.Names{CommonName: name, DNS: []string{wire.ServerIdentity}, Server: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l := pipe.Listen(tcp, quietLog())
	s := &server{name: name, ca: ca, addr: tcp.Addr().String(), slow: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(wire.PathPipe, l.Handler())
	mux.HandleFunc("/who", func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		_, _ = io.WriteString(w, name)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.slow:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, name)
	})
	h := &http.Server{Handler: mux, ReadHeaderTimeout: within, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	done := make(chan error, 1)
	go func() { done <- h.Serve(tls.NewListener(l, config)) }()
	var once sync.Once
	s.stop = func() { once.Do(func() { _ = h.Close(); <-done }) }
	t.Cleanup(s.stop)
	return s
}

func (s *server) addrPort() netip.AddrPort { return netip.MustParseAddrPort(s.addr) }

// dialer trusts the cluster of ca.
func dialer(ca *pki.CA, cfg pipe.Config) *pipe.Dialer {
	cfg.TLS = func() (*tls.Config, error) { return pki.ServerTLS(pki.Pool(ca.Cert), time.Now), nil }
	return pipe.New(cfg, quietLog())
}

// node runs an endpoint whose clock can be put forward.
type node struct {
	*Endpoint
	ca     *pki.CA
	ahead  atomic.Int64
	learn  chan []netip.AddrPort
	report chan error
	ended  chan error
	ready  chan struct{}
	cancel context.CancelFunc
}

func startNode(t *testing.T, ca *pki.CA, cfg Config) *node {
	t.Helper()
	n := &node{ca: ca, learn: make(chan []netip.AddrPort), report: make(chan error, 100), ended: make(chan error, 1), ready: make(chan struct{})}
	cfg.Listen = freeAddr(t)
	if cfg.Dialer == nil {
		cfg.Dialer = dialer(ca, pipe.Config{Server: cfg.Server})
	}
	cfg.Report = func(err error) { n.report <- err }
	cfg.Learn = func(ctx context.Context, known func([]netip.AddrPort)) error {
		for {
			select {
			case addrs := <-n.learn:
				known(addrs)
			case <-ctx.Done():
				return nil
			}
		}
	}
	var err error
	if n.Endpoint, err = New(cfg, quietLog()); err != nil {
		t.Fatal(err)
	}
	n.pool.now = func() time.Time { return time.Now().Add(time.Duration(n.ahead.Load())) }
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.ended <- n.Run(ctx, func() { close(n.ready) }) }()
	select {
	case <-n.ready:
	case err := <-n.ended:
		t.Fatalf("ended early: %v", err)
	case <-time.After(within):
		t.Fatal("not ready")
	}
	t.Cleanup(func() {
		cancel()
		if err := <-n.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("stop: %v", err)
		}
	})
	return n
}

// forward puts the endpoint's clock forward and lets it look.
func (n *node) forward(d time.Duration) {
	n.ahead.Add(int64(d))
	n.pool.nudge()
}

// client returns a client that keeps its connection.
func (n *node) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: pki.ServerTLS(pki.Pool(n.ca.Cert), time.Now), TLSHandshakeTimeout: within}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: within}
}

// who asks through the endpoint which server answers.
func (n *node) who(c *http.Client) (string, error) {
	response, err := c.Get("https://" + n.cfg.Listen + "/who")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// want waits until a client's next connection goes to the server with name.
func (n *node) want(t *testing.T, name string) {
	t.Helper()
	testx.Eventually(t, within, "clients go to "+name, func(context.Context) error {
		got, err := n.who(n.client(t))
		if err == nil && got != name {
			err = fmt.Errorf("%s answers", got)
		}
		return err
	})
}

// state waits until the candidate is in it.
func (n *node) state(t *testing.T, addr string, want State) {
	t.Helper()
	testx.Eventually(t, within, addr+" is "+string(want), func(context.Context) error {
		for _, s := range n.Status() {
			if s.Address == addr && s.State == want {
				return nil
			}
		}
		return fmt.Errorf("candidates: %+v", n.Status())
	})
}

// freeAddr returns a loopback address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
