package mux

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Open asks the other end to dial t and waits for its answer, at most for
// Config.DialTimeout; part of that may go by until an interactive lane is
// there. The connection also has CloseWrite. The error is a
// *tunnel.RefusedError, wraps tunnel.ErrSessionClosed, or is that of ctx.
func (s *Session) Open(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	st, err := s.begin(ctx, t)
	if err != nil {
		return nil, err
	}
	select {
	case <-st.opened:
		err = st.answer()
	case <-ctx.Done():
		err = fmt.Errorf("dial %s: no answer: %w", t, ctx.Err())
	}
	if err != nil {
		_ = st.Close()
		return nil, err
	}
	return st, nil
}

// begin sends the open, once there is a lane for it.
func (s *Session) begin(ctx context.Context, t tunnel.Target) (*stream, error) {
	for {
		st, changed, err := s.tryBegin(t)
		if st != nil || err != nil {
			return st, err
		}
		s.want(tunnel.LaneInteractive)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("dial %s: no lane of class %s: %w", t, tunnel.LaneInteractive, ctx.Err())
		}
	}
}

func (s *Session) tryBegin(t tunnel.Target) (*stream, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, fmt.Errorf("dial %s: %w", t, s.err)
	}
	if err := s.table.admit(t); err != nil {
		return nil, nil, err
	}
	l := s.routes.Load().interactive
	if l == nil || l.deadError() != nil {
		return nil, s.changed, nil
	}
	st := newStream(s, t, l)
	s.table.add(st)
	// Under the lock, so that opens leave in the order of their ids. Should
	// the lane have died since, the stream is told like every other on it.
	_ = l.post(true, appendOpen(nil, st.id, st.window, t))
	return st, nil, nil
}

// answer is the answer to the dial, nil if it was accepted.
func (st *stream) answer() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.accepted:
		return nil
	case st.failure != nil:
		return st.failure
	case st.refused != nil:
		return st.refused.Refusal(st.target)
	case st.ended != nil:
		return st.ended.Refusal(st.target)
	}
	return nil
}

// takeOpened handles the answer yes.
func (st *stream) takeOpened(window int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.incoming || st.accepted || window > maxCredit {
		return fmt.Errorf("%w: stream %d opened with a window of %d", ErrProtocol, st.id, window)
	}
	st.accepted = true
	st.credit = max(st.credit, uint64(window))
	st.answerLocked()
	return nil
}

// takeRefused handles the answer no.
func (st *stream) takeRefused(e tunnel.Ending) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.incoming || st.accepted {
		return fmt.Errorf("%w: stream %d refused after it was opened", ErrProtocol, st.id)
	}
	e.Text = printable([]byte(e.Text))
	st.refused = &e
	st.promise(0)
	st.cancel()
	st.answerLocked()
	st.leaveTable()
	return nil
}

// accept answers yes, unless the other end has given up meanwhile.
func (st *stream) accept() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.endSent || st.failure != nil {
		return false
	}
	st.accepted = true
	return st.out.post(true, appendOpened(nil, st.id, st.window)) == nil
}

// refuse answers no.
func (st *stream) refuse(e tunnel.Ending) {
	st.mu.Lock()
	if !st.endSent && st.failure == nil {
		st.endSent, st.refused = true, &e
		_ = st.out.post(true, appendEnding(nil, kindRefused, st.id, e))
	}
	st.mu.Unlock()
	_ = st.Close()
}

// serve dials the target of an incoming stream and copies both ways.
func (st *stream) serve() {
	conn, err := st.dial()
	if err != nil {
		st.refuse(tunnel.EndingOf(err))
		return
	}
	defer conn.Close()
	if st.accept() {
		st.splice(conn)
	}
	_ = st.Close()
}

func (st *stream) dial() (net.Conn, error) {
	if st.session.cfg.Dial == nil {
		return nil, &tunnel.RefusedError{
			What: "dial " + st.target.String(), Kind: tunnel.RefusedAccess, Reason: "nothing can be dialled at this end",
		}
	}
	ctx, cancel := context.WithTimeout(st.ctx, st.session.cfg.DialTimeout)
	defer cancel()
	return st.session.cfg.Dial(ctx, st.target)
}

// drainTime is how long a target may take to read what was sent to it before
// the other end closed.
const drainTime = 30 * time.Second

// splice copies between the stream and its target until both directions have
// ended, or the stream has.
func (st *stream) splice(conn net.Conn) {
	defer context.AfterFunc(st.ctx, func() {
		if st.failed() {
			_ = conn.Close()
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(drainTime))
	})()
	done := make(chan struct{})
	go func() {
		defer close(done)
		st.toTarget(conn)
	}()
	if _, err := st.ReadFrom(conn); err != nil {
		// Either the target failed, or it sends to an end that has closed, for
		// which TCP too resets the connection.
		st.closeWith(tunnel.EndWith(tunnel.EndAborted, err))
		_ = conn.Close()
	} else {
		_ = st.CloseWrite()
	}
	<-done
}

func (st *stream) toTarget(conn net.Conn) {
	if _, err := st.WriteTo(conn); err == nil {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		// The target may go on sending until the other end wants no more.
		<-st.ctx.Done()
	} else {
		// What the target sent before it took no more is still to be read; the
		// read ends by itself. Nobody takes what comes meanwhile.
		_, _ = st.WriteTo(io.Discard)
	}
	_ = conn.Close()
}

// failed tells that the stream ended by no end's wish.
func (st *stream) failed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.failure != nil
}

var _ interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseWrite() error
} = (*stream)(nil)
