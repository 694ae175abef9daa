package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/deadline"
	"github.com/kedge-io/kedge/tunnel"
)

// errOverload ends a stream that would hold more than its session may.
var errOverload = errors.New("tunnel session overloaded")

// stream is one end of a stream: the frames on top of a raw byte stream.
//
// Two locks, never held together except wmu before mu. wmu serialises writes
// to the raw stream and can be held as long as the websocket is busy; mu
// guards the rest and is never held while anything is written.
type stream struct {
	session *Session
	target  tunnel.Target
	// release, on the end that dialled, gives back the raw stream.
	release func()
	// ctx ends when the stream is over: closed by either end, or failed.
	ctx    context.Context
	cancel context.CancelFunc

	wmu     sync.Mutex
	raw     io.Writer // nil until known
	rawDone bool      // nothing may be written any more

	mu       sync.Mutex
	readers  *sync.Cond
	writers  *sync.Cond
	in       bytes.Buffer
	consumed int // read by the user, not yet credited to the other end
	credit   int // what may still be sent
	rdl, wdl deadline.Deadline
	opened   chan struct{} // closed when the dial is answered

	unblock  func() // frees a writer that the raw stream holds for good
	accepted bool
	answered bool
	finIn    bool
	finOut   bool           // CloseWrite was called
	closed   bool           // Close was called
	ended    *tunnel.Ending // the other end's last frame
	failure  error          // the session's end, or a violation
	pending  pending
	queued   bool
	endSent  bool
	released bool
}

// pending is what the control loop of the session has to send for a stream.
type pending struct {
	credit int
	fin    bool
	end    *tunnel.Ending
}

func newStream(s *Session, t tunnel.Target) *stream {
	st := &stream{session: s, target: t, credit: Window, opened: make(chan struct{})}
	st.ctx, st.cancel = context.WithCancel(s.ctx)
	st.readers, st.writers = sync.NewCond(&st.mu), sync.NewCond(&st.mu)
	return st
}

func (st *stream) endLocked(e tunnel.Ending) {
	if st.pending.end != nil || st.endSent || st.failure != nil {
		return
	}
	st.pending.end = &e
	st.queueLocked()
}

func (st *stream) queueLocked() {
	if !st.queued {
		st.queued = true
		st.session.control.push(st)
	}
}

// flush sends what is pending. Only the control loop calls it.
func (st *stream) flush() {
	st.wmu.Lock()
	defer st.wmu.Unlock()
	st.mu.Lock()
	if st.raw == nil {
		st.queued = false // start queues again
		st.mu.Unlock()
		return
	}
	p := st.pending
	st.pending, st.queued = pending{}, false
	st.endSent = st.endSent || p.end != nil
	st.mu.Unlock()
	if st.rawDone {
		return
	}
	var frame []byte
	if p.credit > 0 {
		frame = appendCredit(frame, p.credit)
	}
	if p.fin {
		frame = appendHeader(frame, frameFin, 0)
	}
	if p.end != nil {
		frame = appendEnd(frame, *p.end)
		st.rawDone = true
	}
	if len(frame) > 0 {
		// An error here is the session's end, which every stream is told of.
		_, _ = st.raw.Write(frame)
	}
	if p.end != nil {
		st.releaseIfDone()
	}
}

// releaseIfDone gives back the raw stream when both ends have sent their last
// frame. wmu is held.
func (st *stream) releaseIfDone() {
	st.mu.Lock()
	done := st.endSent && st.ended != nil && !st.released
	st.released = st.released || done
	st.mu.Unlock()
	if done && st.release != nil {
		st.release()
	}
}

// start makes w the raw stream and sends what waited for it.
func (st *stream) start(w io.Writer) {
	st.wmu.Lock()
	defer st.wmu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.raw = w
	if c, ok := w.(io.Closer); ok {
		st.unblock = func() { _ = c.Close() }
	}
	if st.pending != (pending{}) {
		st.queueLocked()
	}
}

// accept answers a dial with yes. It must come before any data.
func (st *stream) accept() error {
	st.wmu.Lock()
	defer st.wmu.Unlock()
	if st.rawDone {
		return st.outError()
	}
	_, err := st.raw.Write(appendHeader(nil, frameOpened, 0))
	return err
}

// pump takes the other end's frames until the raw stream ends.
func (st *stream) pump(r io.Reader) {
	small := newSmallReader(r)
	for {
		kind, err := st.next(small)
		if err != nil {
			st.violated(err)
			break
		}
		if kind == frameEnd {
			st.wmu.Lock()
			st.releaseIfDone()
			st.wmu.Unlock()
			break
		}
	}
	// The raw stream stays ours until the dialling end gives it back, and must
	// be read until then; nothing more of it is meant for us.
	_, _ = io.Copy(io.Discard, r)
}

// next reads and takes one frame. While it waits for one it holds no buffer: a
// server has a thousand streams on which hardly ever something comes.
func (st *stream) next(r *bufio.Reader) (byte, error) {
	if _, err := r.Peek(1); err != nil {
		return 0, err
	}
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	kind, payload, err := readFrame(r, (*buf)[:maxData])
	if err == nil {
		err = st.take(kind, payload)
	}
	return kind, err
}

func (st *stream) violated(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failure != nil {
		return
	}
	st.cancel()
	if errors.Is(err, errOverload) {
		st.endLocked(tunnel.EndWith(tunnel.EndOverload, err))
	} else {
		st.endLocked(tunnel.EndWith(tunnel.EndProtocol, errProtocol))
	}
	if st.ended == nil {
		st.ended = new(tunnel.EndWith(tunnel.EndAborted, err))
	}
	st.answerLocked()
}

func (st *stream) answerLocked() {
	if !st.answered {
		st.answered = true
		close(st.opened)
	}
	st.readers.Broadcast()
	st.writers.Broadcast()
}

// take handles one frame of the other end.
func (st *stream) take(kind byte, payload []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch kind {
	case frameOpened:
		st.accepted = true
		st.answerLocked()
	case frameData:
		return st.takeData(payload)
	case frameCredit:
		st.credit += int(binary.BigEndian.Uint32(payload))
		if st.credit > Window {
			return fmt.Errorf("%w: credit of more than a window", errProtocol)
		}
		st.writers.Broadcast()
	case frameFin:
		st.finIn = true
		st.readers.Broadcast()
	case frameEnd:
		st.ended = new(tunnel.ParseEnding(payload))
		st.cancel()
		st.endLocked(tunnel.Ending{Code: tunnel.EndNormal})
		st.answerLocked()
	}
	return nil
}

func (st *stream) takeData(p []byte) error {
	if st.finIn {
		return fmt.Errorf("%w: data after its end", errProtocol)
	}
	if st.closed {
		return nil
	}
	if st.in.Len()+st.consumed+len(p) > Window {
		return fmt.Errorf("%w: data without credit", errProtocol)
	}
	if unread := st.session.unread.Add(int64(len(p))); unread > int64(st.session.cfg.MaxBuffered) {
		st.session.unread.Add(-int64(len(p)))
		return fmt.Errorf("%w: %d bytes of all streams are unread, which is the limit", errOverload, st.session.cfg.MaxBuffered)
	}
	st.in.Write(p)
	st.readers.Broadcast()
	return nil
}

// fail ends the stream because its session did. The websocket is closed by
// then, so wmu is free soon; afterwards nothing is written to the raw stream.
func (st *stream) fail(err error) {
	st.mu.Lock()
	unblock := st.unblock
	st.mu.Unlock()
	if unblock != nil {
		// Only another end that pauses the raw stream by itself needs this.
		defer time.AfterFunc(time.Second, unblock).Stop()
	}
	st.wmu.Lock()
	st.rawDone = true
	st.wmu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failure == nil {
		st.failure = fmt.Errorf("tunnel stream %s: %w", st.target, err)
	}
	st.cancel()
	st.answerLocked()
}

// failed tells that the session ended below the stream.
func (st *stream) failed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.failure != nil
}

// refusal returns why the dial was refused, nil if it was accepted.
func (st *stream) refusal() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.accepted:
		return nil
	case st.failure != nil:
		return st.failure
	case st.ended != nil:
		return st.ended.Refusal(st.target)
	}
	return nil
}
