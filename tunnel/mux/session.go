package mux

import (
	"context"
	"errors"
	"net"

	"github.com/kedge-io/kedge/tunnel"
)

// ErrReplaced says that a newer lane of the same class and index took over.
var ErrReplaced = errors.New("replaced by a newer lane")

// Session is one table of streams over all lanes between two ends. All methods
// may be called at any time from any goroutine.
type Session struct {
	cfg  Config
	done chan struct{}
}

// New makes a session. One end is the initiator, the other is not. It starts
// no goroutine; streams and packets flow once lanes are attached.
func New(initiator bool, cfg Config) *Session {
	return &Session{cfg: cfg, done: make(chan struct{})}
}

// Attach adds a lane, or replaces the one of the same class and index, and
// takes over conn, which carries nothing but this lane from both ends. class
// is interactive, bulk or relay.
func (s *Session) Attach(class tunnel.Lane, index int, conn net.Conn) (*Lane, error) {
	return nil, errors.ErrUnsupported
}

// Open asks the other end to dial t and waits for its answer, at most for
// Config.DialTimeout. The connection also has CloseWrite. The error is a
// *tunnel.RefusedError, wraps tunnel.ErrSessionClosed, or is that of ctx.
func (s *Session) Open(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// SendPacket queues a copy of p on a relay lane. It never waits: false says
// that the packet was dropped, because there is no such lane or its queue is
// full.
func (s *Session) SendPacket(p []byte) bool { return false }

// Stats returns the figures of now.
func (s *Session) Stats() Stats { return Stats{} }

// Close ends all lanes and streams with the reason, which the other end is
// told if the lanes still take it at once. See Done.
func (s *Session) Close(reason error) {}

// Done is closed when lanes, streams and their goroutines have ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session ended, nil while it lives. It wraps
// tunnel.ErrSessionClosed.
func (s *Session) Err() error { return nil }
