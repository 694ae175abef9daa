package edgefw

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// stream is the present connection with a server.
type stream struct {
	conn net.Conn
	wake chan struct{}

	mu    sync.Mutex
	hello *protocol.Hello
	ack   *protocol.Ack // the newest that was not sent
}

// Serve takes rulesets from a server's stream until it ends or ctx does. A newer
// stream ends it.
func (l *Loop) Serve(ctx context.Context, conn net.Conn) {
	s := &stream{conn: conn, wake: make(chan struct{}, 1)}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	held := l.enter(s)
	defer l.leave(s)
	hold, err := protocol.Hold(held)
	if err != nil {
		l.log.Error("what the node holds cannot be told, so it gets all", "error", err)
		if hold, err = protocol.Hold(nil); err != nil {
			return
		}
	}
	var sender sync.WaitGroup
	defer sender.Wait()
	ended := make(chan struct{})
	defer close(ended)
	sender.Go(func() { s.send(ended) })
	s.greet(hold.Hello(l.enforced(), l.cfg.Software))
	err = l.read(s, hold)
	if ctx.Err() == nil {
		l.log.Debug("the stream of the firewall ended", "error", err)
	}
}

// enter makes s the present stream and returns what the node holds.
func (l *Loop) enter(s *stream) *model.Ruleset {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream != nil {
		_ = l.stream.conn.Close()
	}
	l.stream = s
	if l.incoming != nil {
		return l.incoming.ruleset
	}
	return l.seen.held
}

func (l *Loop) leave(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream == s {
		l.stream = nil
	}
}

// enforced is the revision that the kernel has.
func (l *Loop) enforced() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen.enforced
}

// read takes updates in until the stream ends.
func (l *Loop) read(s *stream, hold *protocol.Holdings) error {
	r := protocol.NewReader(s.conn)
	for {
		u, err := r.Update()
		if err != nil {
			return err
		}
		in := &incoming{revision: u.Revision, at: time.Now()}
		_, err = hold.Take(u)
		if errors.Is(err, protocol.ErrMissing) {
			s.greet(hold.Hello(l.enforced(), l.cfg.Software))
			continue
		}
		if err != nil {
			in.err = fmt.Errorf("the node cannot read the update: %w", err)
		}
		in.ruleset, in.manifest = hold.Ruleset(), hold.Manifest()
		if !l.offer(s, in) {
			return net.ErrClosed
		}
	}
}

// offer makes in what is wished for, unless s is not the present stream.
func (l *Loop) offer(s *stream, in *incoming) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream != s {
		return false
	}
	l.incoming = in
	notify(l.wake)
	return true
}

// ack has the server told.
func (l *Loop) ack(a protocol.Ack) {
	l.mu.Lock()
	s := l.stream
	l.mu.Unlock()
	if s != nil {
		s.say(a)
	}
}

// say sends a soon, unless it was the last that was said. What was not sent yet is
// replaced: an acknowledgement is about all revisions before, too.
func (s *stream) say(a protocol.Ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ack = &a
	notify(s.wake)
}

// greet says what the node holds.
func (s *stream) greet(h protocol.Hello) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hello = &h
	notify(s.wake)
}

// send writes until the stream ended.
func (s *stream) send(ended <-chan struct{}) {
	var last protocol.Ack
	for {
		select {
		case <-ended:
			return
		case <-s.wake:
		}
		s.mu.Lock()
		hello, ack := s.hello, s.ack
		s.hello, s.ack = nil, nil
		s.mu.Unlock()
		var err error
		if hello != nil {
			err = protocol.WriteHello(s.conn, *hello)
		}
		if ack != nil && err == nil && news(last, *ack) {
			last = *ack
			err = protocol.WriteAck(s.conn, *ack)
		}
		if err != nil {
			_ = s.conn.Close() // the reader ends then, and with it this
		}
	}
}

// news tells whether an acknowledgement says more than the last.
func news(last, next protocol.Ack) bool {
	last.Took, next.Took = 0, 0
	return last != next
}
