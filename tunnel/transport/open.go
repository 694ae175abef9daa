package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Open asks the other end to dial t and waits for its answer, at most for
// Config.DialTimeout. The connection also has CloseWrite. The error is a
// *tunnel.RefusedError, wraps tunnel.ErrSessionClosed, or is that of ctx.
func (s *Session) Open(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	st := newStream(s, t)
	if err := s.add(st); err != nil {
		st.cancel()
		return nil, err
	}
	if err := s.connect(ctx, st); err != nil {
		st.cancel()
		s.remove(st)
		return nil, fmt.Errorf("dial %s: %w", t, s.reason(err))
	}
	select {
	case <-st.opened:
	case <-ctx.Done():
		_ = st.Close()
		return nil, fmt.Errorf("dial %s: no answer: %w", t, ctx.Err())
	}
	if err := st.refusal(); err != nil {
		_ = st.Close()
		return nil, err
	}
	return st, nil
}

// connect gets a raw stream and starts to read it.
func (s *Session) connect(ctx context.Context, st *stream) error {
	// remotedialer looks at a deadline only, and at the end of a context only
	// where it has no deadline.
	bare, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	raw, err := s.rd.Dial(bare, st.target.Network, st.target.Address)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	st.release = func() {
		_ = raw.Close()
		s.remove(st)
	}
	st.start(raw)
	s.mu.Lock()
	over := s.over
	if !over {
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if over {
		_ = raw.Close()
		return tunnel.ErrSessionClosed
	}
	go func() {
		defer s.wg.Done()
		st.pump(raw)
	}()
	return nil
}

// incoming is remotedialer's hook for a dial of the other end. It must not
// return an error: the answer goes through the stream.
func (s *Session) incoming(_ context.Context, network, address string) (net.Conn, error) {
	st := newStream(s, tunnel.Target{Network: network, Address: address})
	p := &port{stream: st, closed: make(chan struct{})}
	p.refused = s.add(st)
	return p, nil
}

// port is what remotedialer takes for the connection that was dialled. It
// copies with io.Copy in both directions, so the two methods below get hold of
// remotedialer's end of the stream and of its two goroutines.
//
// remotedialer closes that end without locks: it must happen once, and while
// nothing is written. So ReadFrom returns only when the stream was ended from
// elsewhere, and WriteTo only after ReadFrom has.
type port struct {
	net.Conn // nil: none of its other methods is called
	stream   *stream
	refused  error
	once     sync.Once
	closed   chan struct{}
}

// ReadFrom takes the frames of the other end until the stream ends.
func (p *port) ReadFrom(r io.Reader) (int64, error) {
	p.stream.pump(r)
	return 0, nil
}

// WriteTo answers the dial, serves the stream and waits for its end.
func (p *port) WriteTo(w io.Writer) (int64, error) {
	st := p.stream
	st.start(w)
	if errors.Is(p.refused, tunnel.ErrSessionClosed) {
		st.fail(p.refused)
	} else if p.refused != nil {
		st.closeWith(tunnel.EndingOf(p.refused))
	} else {
		st.serve()
	}
	<-p.closed
	return 0, nil
}

// Close is called by remotedialer when the stream has ended.
func (p *port) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.stream.cancel()
		p.stream.session.remove(p.stream)
	})
	return nil
}

// serve dials the target of an incoming stream and copies both ways.
func (st *stream) serve() {
	ctx, cancel := context.WithTimeout(st.ctx, st.session.cfg.DialTimeout)
	defer cancel()
	conn, err := st.session.cfg.Dial(ctx, st.target)
	if err != nil {
		st.closeWith(tunnel.EndingOf(err))
		return
	}
	defer conn.Close()
	if err := st.accept(); err != nil {
		return
	}
	st.splice(conn)
	_ = st.Close()
}

// drainTime is how long a target may take to read what was sent to it before
// the other end closed.
const drainTime = 30 * time.Second

func (st *stream) splice(conn net.Conn) {
	stop := context.AfterFunc(st.ctx, func() {
		if st.failed() {
			_ = conn.Close()
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(drainTime))
	})
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.Copy(conn, st); err == nil {
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			// The target may go on sending until the other end wants no more.
			<-st.ctx.Done()
		} else {
			// What the target sent before it took no more is still to be read;
			// the read ends by itself. Nobody takes what comes meanwhile.
			_, _ = io.Copy(io.Discard, st)
		}
		_ = conn.Close()
	}()
	if _, err := io.Copy(onlyWriter{st}, conn); err != nil {
		// Either the target failed, or it sends to an end that has closed, for
		// which TCP too resets the connection.
		st.closeWith(tunnel.EndWith(tunnel.EndAborted, err))
		_ = conn.Close()
	} else {
		_ = st.CloseWrite()
	}
	<-done
}

// onlyWriter hides everything but Write from io.Copy.
type onlyWriter struct{ io.Writer }
