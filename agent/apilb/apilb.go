package apilb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name is the component's name.
const Name = "api-endpoint"

// dialTimeout bounds one attempt to reach the server. Clients retry by
// themselves, and each holds a connection open while it waits.
const dialTimeout = 10 * time.Second

// Config says where to listen and where the API is.
type Config struct {
	// Listen is a loopback address with a port.
	Listen string
	// Server is the host and port of the server, as the user gave it.
	Server string
}

// Address is where clients of a node find the API unless told otherwise.
const Address = "127.0.0.1:6444"

// New returns the component. It is ready when a connection to the server was
// made through it, or when it listens but the server could not be reached for
// a few seconds: a node must start without its server.
func New(cfg Config, log *slog.Logger, needs ...string) lifecycle.Component {
	f := &forwarder{cfg: cfg, log: log.With("component", Name), conns: map[net.Conn]struct{}{}}
	return lifecycle.Component{Name: Name, Needs: needs, Run: f.run}
}

type forwarder struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex // guards conns and down
	conns map[net.Conn]struct{}
	down  bool
}

func (f *forwarder) run(ctx context.Context, ready func()) error {
	l, err := net.Listen("tcp", f.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for the node's API clients (is another node running on this host?): %w", err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close()
		f.closeAll()
	})
	defer stop()
	wg.Go(func() { f.probe(ctx); ready() })
	for {
		client, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("accept an API client: %w", err)
		}
		wg.Go(func() { f.forward(ctx, client) })
	}
}

// probe tries to reach the server for a few seconds.
func (f *forwarder) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if server, err := f.dial(ctx); err == nil {
			_ = server.Close()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (f *forwarder) forward(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := f.dial(ctx)
	if err != nil {
		return // closing the client makes it retry
	}
	defer func() { _ = server.Close() }()
	if !f.track(ctx, client, server) {
		return
	}
	defer f.untrack(client, server)

	var wg sync.WaitGroup
	wg.Go(func() { copyHalf(server, client) })
	wg.Go(func() { copyHalf(client, server) })
	wg.Wait()
}

// copyHalf copies until src ends, then tells dst so. A broken copy ends both
// directions, or the other one would wait for ever.
func copyHalf(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		_ = src.Close()
		return
	}
	if c, ok := dst.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}

func (f *forwarder) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", f.cfg.Server)
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if down := err != nil; down != f.down {
		f.down = down
		if down {
			f.log.Warn("server is out of reach", "server", f.cfg.Server, "error", err)
		} else {
			f.log.Info("server is in reach again", "server", f.cfg.Server)
		}
	}
	return conn, err
}

// track remembers open connections, so that a stop can end them. It refuses
// when the stop has come already.
func (f *forwarder) track(ctx context.Context, conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	for _, c := range conns {
		f.conns[c] = struct{}{}
	}
	return true
}

func (f *forwarder) untrack(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		delete(f.conns, c)
	}
}

func (f *forwarder) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}
