package pipe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/transport"
)

const (
	// dialTimeout bounds one TCP connection.
	dialTimeout = 10 * time.Second
	// proveTimeout bounds the look at who answers, handshake included.
	proveTimeout = 15 * time.Second
	// doubtEvery is the least time between two looks at an address where the
	// cluster answered: clients that hang up early are no reason for more.
	doubtEvery = 10 * time.Second
	// maxKnown bounds the addresses that are remembered.
	maxKnown = 64
)

// Config says how a server is reached and how it is known.
type Config struct {
	// Server is the host:port that the user gave. Only there a websocket is
	// tried where somebody else answers; "" is for nowhere.
	Server string
	// TLS returns the client's side of a handshake with the server, which
	// verifies the cluster's authority. A certificate of the client's is not
	// shown by this package. See internal/pki.
	TLS func() (*tls.Config, error)
	// Proxy chooses an HTTP proxy as in [http.Transport]; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// ProxyRoots verify an https proxy; nil for the host's.
	ProxyRoots *x509.CertPool
	// Lookup finds addresses; nil for the host's resolvers.
	Lookup Lookup
	// NetDial connects to an address; nil for a [net.Dialer].
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dialer makes connections to servers' ports. It is safe for concurrent use and
// has no goroutine of its own.
type Dialer struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	known map[string]*way
}

// way is what is known of an address. Its lock is held during a look, so that
// connections that begin together look once.
type way struct {
	mu     sync.Mutex
	known  bool
	piped  bool
	looked time.Time
	// doubted is guarded by the dialer's lock.
	doubted bool
}

// New returns a dialer. Nothing is connected.
func New(cfg Config, log *slog.Logger) *Dialer {
	if cfg.Proxy == nil {
		cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	if cfg.Lookup == nil {
		cfg.Lookup = systemLookup
	}
	if cfg.NetDial == nil {
		cfg.NetDial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &Dialer{cfg: cfg, log: log.With("component", "pipe"), known: map[string]*way{}}
}

// DialContext returns a connection whose other end is whoever serves the
// cluster at addr, a host:port. The first one to an address looks who answers,
// which is a handshake more. The error wraps [*ImpostorError] when somebody
// answers who is not the cluster, and [*ProxyError] when a proxy refused.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("dial %s %s: only tcp is known", network, addr)
	}
	piped, err := d.choose(ctx, addr)
	if err != nil {
		return nil, err
	}
	dial := d.Connect
	if piped {
		dial = d.Pipe
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		d.forget(addr)
		return nil, err
	}
	return &watched{Conn: conn, doubt: func() { d.doubt(addr) }}, nil
}

// Prove looks who answers at addr now, whatever is remembered, and returns nil
// when it is the cluster.
func (d *Dialer) Prove(ctx context.Context, addr string) error {
	w := d.way(addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	return d.look(ctx, addr, w)
}

// Piped says whether connections to addr go through a websocket.
func (d *Dialer) Piped(addr string) bool {
	w := d.way(addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known && w.piped
}

func (d *Dialer) choose(ctx context.Context, addr string) (piped bool, err error) {
	w := d.way(addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known && !(d.isDoubted(w) && time.Since(w.looked) > doubtEvery) {
		return w.piped, nil
	}
	return w.piped, d.look(ctx, addr, w)
}

// look finds the way to addr and remembers it. The way's lock is held.
func (d *Dialer) look(ctx context.Context, addr string, w *way) error {
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	piped, err := d.find(ctx, addr)
	changed := !w.known || piped != w.piped
	w.known, w.piped, w.looked = err == nil, piped, time.Now()
	d.setDoubted(w, false)
	if err == nil && changed && piped {
		d.log.Info("somebody in between ends TLS: connections go through a websocket", "server", addr)
	} else if err == nil && changed && !w.piped && addr == d.cfg.Server {
		d.log.Debug("the server answers at its address", "server", addr)
	}
	return err
}

func (d *Dialer) find(ctx context.Context, addr string) (piped bool, err error) {
	conn, err := d.Connect(ctx, "tcp", addr)
	if err != nil {
		return false, err
	}
	err = d.handshake(ctx, conn)
	var impostor *ImpostorError
	if err == nil || !errors.As(err, &impostor) || addr != d.cfg.Server {
		return false, describe(addr, err)
	}
	if conn, err = d.Pipe(ctx, "tcp", addr); err != nil {
		return true, fmt.Errorf("%w, and forwards no websocket to %s: %w", describe(addr, impostor), wire.PathPipe, err)
	}
	return true, describe("the far end of "+addr, d.handshake(ctx, conn))
}

// Connect makes a TCP connection to whoever answers at addr, through an HTTP
// proxy where one is set.
func (d *Dialer) Connect(ctx context.Context, _, addr string) (net.Conn, error) {
	proxy, err := d.cfg.Proxy(&http.Request{Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: addr}})
	if err != nil {
		return nil, fmt.Errorf("choose a proxy for %s: %w: check HTTPS_PROXY", addr, err)
	}
	if proxy != nil {
		return d.connectThrough(ctx, proxy, addr)
	}
	return race(ctx, d.cfg.Lookup, d.cfg.NetDial, addr)
}

// Pipe makes a connection by a websocket at addr, whoever answers there. Nobody
// is verified by the TLS around it: that is the proxy's, and whatever its
// certificate says, the cluster's is what counts, inside.
func (d *Dialer) Pipe(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	u := url.URL{Scheme: "wss", Host: addr, Path: wire.PathPipe}
	return transport.DialBytes(ctx, transport.BytesConfig{
		URL: u.String(), TLS: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: true},
		NetDial: d.Connect,
	})
}

func (d *Dialer) way(addr string) *way {
	d.mu.Lock()
	defer d.mu.Unlock()
	w, ok := d.known[addr]
	if !ok {
		if len(d.known) >= maxKnown {
			clear(d.known) // it costs a look each
		}
		w = &way{}
		d.known[addr] = w
	}
	return w
}

// forget lets the next connection look again.
func (d *Dialer) forget(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, addr)
}

func (d *Dialer) doubt(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w, ok := d.known[addr]; ok {
		w.doubted = true
	}
}

func (d *Dialer) isDoubted(w *way) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return w.doubted
}

func (d *Dialer) setDoubted(w *way, doubted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.doubted = doubted
}
