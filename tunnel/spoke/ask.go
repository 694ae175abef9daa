package spoke

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel"
)

const (
	// maxAsking is how many streams with questions a node serves at a time.
	maxAsking = 8
	// askTime bounds a question, and the wait for another on the same stream.
	askTime = 30 * time.Second
)

// ask serves what the server wants to know about the node, as HTTP on a stream.
func (s *Spoke) ask(t tunnel.Target) (net.Conn, error) {
	refuse := func(kind tunnel.Refusal, reason string) error {
		return &tunnel.RefusedError{What: "dial " + t.String(), Kind: kind, Reason: reason}
	}
	if s.cfg.Status == nil {
		return nil, refuse(tunnel.RefusedAccess, "the node tells nothing of itself")
	}
	if s.asking.Add(1) > maxAsking {
		s.asking.Add(-1)
		return nil, refuse(tunnel.RefusedOverload, "too many questions at a time")
	}
	theirs, ours := net.Pipe()
	srv := &http.Server{
		Handler: harmless(s.cfg.Status), ReadHeaderTimeout: askTime, WriteTimeout: askTime, IdleTimeout: askTime, MaxHeaderBytes: 16 << 10,
	}
	// Serve returns at once; the connection is served until one end closes it.
	_ = srv.Serve(&single{conn: &counted{Conn: ours, ended: func() { s.asking.Add(-1) }}})
	return theirs, nil
}

// harmless lets questions through, and the one request that changes nothing but
// the time of a renewal.
func harmless(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		renew := r.Method == http.MethodPost && r.URL.Path == wire.PathRenewNow
		if r.Method != http.MethodGet && !renew {
			http.Error(w, "through the link a node answers GET only", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// single is a listener that has one connection.
type single struct{ conn net.Conn }

// Accept implements net.Listener.
func (l *single) Accept() (net.Conn, error) {
	conn := l.conn
	if l.conn = nil; conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// Close implements net.Listener.
func (l *single) Close() error { return nil }

// Addr implements net.Listener.
func (l *single) Addr() net.Addr { return &net.IPAddr{} }

// counted tells once when it is closed.
type counted struct {
	net.Conn
	once  sync.Once
	ended func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(c.ended)
	return c.Conn.Close()
}
