package pipe

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/tunnel/transport"
)

const (
	// MaxPiped bounds the connections that come through websockets at a time:
	// 1000 nodes with 12 each, with room. One costs about 60 KiB, as much as
	// a connection that comes directly.
	MaxPiped = 16384
	// acceptTimeout bounds the wait for the server to take a connection.
	acceptTimeout = 10 * time.Second
	// firstByte bounds the wait for the hello of the TLS inside.
	firstByte = 15 * time.Second
	// never is for a timer that is set later, in nanoseconds 292 years.
	never = time.Duration(1<<63 - 1)
)

// Listener is a server's TCP listener that also accepts the connections that
// arrive at [Listener.Handler]. Whoever accepts cannot tell them apart but by
// the address, which is that of the proxy in between.
type Listener struct {
	net.Listener
	log   *slog.Logger
	quiet *quiet.Log

	once     sync.Once
	accepted chan accepted
	slots    chan struct{}
	closed   chan struct{}
	closing  sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

// Listen puts piped connections beside those of inner, which it owns from now
// on. Nothing is accepted before Accept is called.
func Listen(inner net.Listener, log *slog.Logger) *Listener {
	return &Listener{
		Listener: inner, log: log.With("component", "pipe"), quiet: quiet.New(time.Now),
		accepted: make(chan accepted), slots: make(chan struct{}, MaxPiped), closed: make(chan struct{}),
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.once.Do(func() { go l.acceptTCP() })
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// acceptTCP hands on what the TCP listener has until that is closed. Other
// errors, such as too many open files, are for the one who accepts to wait out.
func (l *Listener) acceptTCP() {
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			l.shut()
			return
		}
		select {
		case l.accepted <- accepted{conn, err}:
		case <-l.closed:
			if err == nil {
				_ = conn.Close()
			}
			return
		}
	}
}

// Close implements net.Listener. Connections that were accepted stay.
func (l *Listener) Close() error {
	l.shut()
	return l.Listener.Close()
}

func (l *Listener) shut() { l.closing.Do(func() { close(l.closed) }) }

// Handler takes connections that come as websockets. It asks for no identity,
// as TCP does not: that is asked for inside.
func (l *Listener) Handler() http.Handler { return http.HandlerFunc(l.serve) }

func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	if _, nested := r.Context().Value(http.LocalAddrContextKey).(localAddr); nested {
		http.Error(w, "a pipe inside a pipe", http.StatusLoopDetected)
		return
	}
	select {
	case l.slots <- struct{}{}:
	default:
		if l.quiet.First("full") {
			l.log.Warn("piped connections refused", "limit", MaxPiped, "address", r.RemoteAddr)
		}
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many piped connections", http.StatusServiceUnavailable)
		return
	}
	conn, err := transport.AcceptBytes(w, r)
	if err != nil {
		<-l.slots
		return // the client has got its answer
	}
	if p := newPiped(conn, func() { <-l.slots }); !l.hand(p) {
		_ = p.Close()
	}
}

// hand gives conn to whoever accepts.
func (l *Listener) hand(conn *piped) bool {
	ctx, cancel := context.WithTimeout(context.Background(), acceptTimeout)
	defer cancel()
	conn.expect(firstByte)
	select {
	case l.accepted <- accepted{conn: conn}:
		return true
	case <-l.closed:
	case <-ctx.Done():
	}
	return false
}

// piped is a connection that came through a websocket. It has no NetConn: its
// place is given back by Close.
type piped struct {
	net.Conn
	gone  func()
	once  sync.Once
	heard *time.Timer
	first sync.Once
}

func newPiped(conn net.Conn, gone func()) *piped {
	p := &piped{Conn: conn, gone: gone}
	p.heard = time.AfterFunc(never, func() { _ = p.Close() })
	return p
}

// expect closes the connection when no byte has come after d.
func (p *piped) expect(d time.Duration) { p.heard.Reset(d) }

// Read implements net.Conn.
func (p *piped) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		p.first.Do(func() { p.heard.Stop() })
	}
	return n, err
}

// Close implements net.Conn.
func (p *piped) Close() error {
	p.once.Do(func() { p.heard.Stop(); p.gone() })
	return p.Conn.Close()
}

// CloseWrite ends the direction towards the node.
func (p *piped) CloseWrite() error {
	return p.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// LocalAddr implements net.Conn, and marks the connection as piped.
func (p *piped) LocalAddr() net.Addr { return localAddr{p.Conn.LocalAddr()} }

// localAddr is the local address of a piped connection.
type localAddr struct{ net.Addr }
