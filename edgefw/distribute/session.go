package distribute

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/kedge-io/kedge/edgefw/protocol"
)

const (
	backoffFirst = 250 * time.Millisecond
	backoffMax   = 15 * time.Second
	// stableAfter is how long a stream must have lasted for the next retry to
	// come at once.
	stableAfter = 10 * time.Second
	// maxResyncs is how many Hellos in a row, without an acknowledgement between
	// them, a stream may have.
	maxResyncs = 8
	// maxLeap bounds by how much a node's word may raise the revision.
	maxLeap = 1 << 32
)

var (
	errSilent   = errors.New("the node acknowledged nothing for too long")
	errNoHello  = errors.New("the node did not say what it holds")
	errResync   = errors.New("the node cannot put updates together")
	errRevision = errors.New("the node claims a revision that was never given")
)

// session is one stay of a node: from its link's coming to its going. It makes
// the stream anew as often as that ends.
type session struct {
	d      *Distributor
	node   *node
	ctx    context.Context
	cancel context.CancelFunc

	// Guarded by Distributor.mu.
	conn     net.Conn // nil until the node has said Hello
	held     protocol.Manifest
	heldRoot protocol.Hash
	sent     uint64   // the newest revision that was sent on conn
	flight   []uint64 // those that are not acknowledged
	unheard  int      // bytes that were written since the latest acknowledgement
	writing  bool
	resyncs  int
	silence  *time.Timer // ends a stream whose updates are not acknowledged
	why      error       // why this end closed conn; nil if it did not
}

func (d *Distributor) newSession(n *node) *session {
	s := &session{d: d, node: n}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// startLocked runs a session until it or Run ends.
func (d *Distributor) startLocked(s *session) {
	stop := context.AfterFunc(d.ctx, s.cancel)
	d.wg.Go(func() {
		defer stop()
		s.run()
	})
}

func (s *session) run() {
	for attempt := 0; s.ctx.Err() == nil; attempt++ {
		began := time.Now()
		err := s.once()
		if s.ctx.Err() != nil {
			return
		}
		if errors.Is(err, ErrUnsupported) {
			s.trouble(StateUnsupported, err)
			return
		}
		s.trouble(StatePending, err)
		if time.Since(began) >= stableAfter {
			attempt = 0
		}
		if attempt == 1 { // the second in a row: the link's end ends streams, too
			s.d.log.Warn("stream of the edge firewall fails, trying on", "node", s.node.name, "error", err)
		}
		select {
		case <-time.After(backoff(attempt)):
		case <-s.ctx.Done():
		}
	}
}

// backoff is anywhere (full jitter) below a bound that doubles.
func backoff(attempt int) time.Duration {
	return rand.N(min(backoffMax, backoffFirst<<min(attempt, 6))) + time.Millisecond
}

// trouble notes why there is no stream.
func (s *session) trouble(state State, err error) {
	d := s.d
	d.mu.Lock()
	if s.node.session != s {
		d.mu.Unlock()
		return
	}
	if n := s.node; state == StateUnsupported || n.state.State == StatePending || n.state.State == StateUnsupported {
		d.enterLocked(n, state, err.Error())
	}
	d.announceLocked()
	d.mu.Unlock()
	d.cfg.Changed()
}

// once makes a stream and serves it to its end.
func (s *session) once() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.d.cfg.helloTime)
	defer cancel()
	conn, err := s.d.cfg.Dial(ctx, s.node.name)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { _ = conn.Close() })()
	_ = conn.SetReadDeadline(time.Now().Add(s.d.cfg.helloTime))
	r := protocol.NewReader(conn)
	hello, _, err := r.FromNode()
	if err != nil {
		return err
	}
	if hello == nil {
		return errNoHello
	}
	_ = conn.SetReadDeadline(time.Time{})
	silence := time.AfterFunc(time.Hour, func() { s.end(conn, errSilent) })
	silence.Stop()
	defer s.unbind(conn, silence)
	if err := s.bind(conn, silence, hello); err != nil {
		return err
	}
	return s.read(r)
}

// read takes what the node says until the stream ends.
func (s *session) read(r *protocol.Reader) error {
	for {
		hello, ack, err := r.FromNode()
		switch {
		case err != nil:
			return s.cause(err)
		case hello != nil:
			err = s.resync(hello)
		default:
			s.acknowledge(ack)
		}
		if err != nil {
			return err
		}
	}
}

// end closes a stream for a reason of this end's.
func (s *session) end(conn net.Conn, why error) {
	s.d.mu.Lock()
	if s.conn == conn && s.why == nil {
		s.why = why
	}
	s.d.mu.Unlock()
	_ = conn.Close()
}

// cause is why the stream ended, the first reason of all.
func (s *session) cause(err error) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.why != nil {
		return s.why
	}
	return err
}

// bind makes a stream the session's. From then on it is written to.
func (s *session) bind(conn net.Conn, silence *time.Timer, hello *protocol.Hello) error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	s.conn, s.silence, s.resyncs, s.why = conn, silence, 0, nil
	return s.helloLocked(hello)
}

func (s *session) unbind(conn net.Conn, silence *time.Timer) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	silence.Stop()
	if s.conn == conn {
		s.conn, s.flight, s.held = nil, nil, protocol.Manifest{}
	}
}

func (s *session) resync(hello *protocol.Hello) error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	d.figures.Resyncs++
	if s.resyncs++; s.resyncs > maxResyncs {
		return errResync
	}
	return s.helloLocked(hello)
}

// helloLocked begins with what the node holds. Its next revision is above the
// one that it has, unless it has the same thing.
func (s *session) helloLocked(hello *protocol.Hello) error {
	d, n := s.d, s.node
	if n.session != s {
		return context.Canceled
	}
	if hello.Revision > d.revision+maxLeap {
		return fmt.Errorf("%w: %d, the newest is %d", errRevision, hello.Revision, d.revision)
	}
	d.revision = max(d.revision, hello.Revision)
	s.held, s.heldRoot = hello.Holds, hello.Holds.Root()
	s.sent, s.flight, s.unheard = 0, nil, 0
	s.silence.Stop()
	n.state.Software, n.state.Applied = hello.Software, hello.Revision
	if n.target == nil {
		return nil
	}
	if hello.Revision > n.wanted || hello.Revision == n.wanted && s.heldRoot != n.target.root {
		d.revision++
		n.wanted, n.since = d.revision, time.Now()
	}
	if hello.Revision < n.wanted {
		d.enterLocked(n, StatePending, "")
	}
	d.pushLocked(n)
	return nil
}

// acknowledge notes what became of an update.
func (s *session) acknowledge(ack *protocol.Ack) {
	d, n := s.d, s.node
	d.mu.Lock()
	if n.session != s || ack.Revision > n.wanted {
		d.mu.Unlock()
		return
	}
	s.resyncs, s.unheard = 0, 0
	for len(s.flight) > 0 && s.flight[0] <= ack.Revision {
		s.flight = s.flight[1:]
	}
	s.watchLocked()
	d.noteLocked(n, ack)
	d.pushLocked(n)
	d.announceLocked()
	d.mu.Unlock()
	d.cfg.Changed()
}

// noteLocked keeps what a node says of a revision.
func (d *Distributor) noteLocked(n *node, ack *protocol.Ack) {
	enforced := ack.State == protocol.StateApplied || ack.State == protocol.StateProven
	switch {
	case ack.Enforced != 0:
		n.state.Applied = ack.Enforced
	case enforced:
		n.state.Applied = ack.Revision
	}
	first := ack.Revision > n.acked
	n.acked = max(n.acked, ack.Revision)
	if ack.Revision < n.wanted {
		return
	}
	if first && enforced {
		n.state.Latency, n.state.Took = time.Since(n.since), ack.Took
	}
	d.enterLocked(n, State(ack.State), ack.Reason)
}

// watchLocked ends the stream if what is under way is not acknowledged in time.
// What was written may still be in the buffers of a thin line.
func (s *session) watchLocked() {
	if len(s.flight) == 0 {
		s.silence.Stop()
		return
	}
	underWay := time.Duration(min(s.unheard, buffered)) * time.Second / slowest
	s.silence.Reset(s.d.cfg.ackTime + underWay)
}

// progressed notes that bytes were written.
func (s *session) progressed(conn net.Conn, n int) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.conn == conn {
		s.unheard += n
		s.watchLocked()
	}
}
