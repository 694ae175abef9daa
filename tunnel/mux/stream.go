package mux

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/internal/deadline"
	"github.com/kedge-io/kedge/tunnel"
)

// stream is one end of a stream. Its methods are in receive.go (frames that
// come), send.go (data that goes), conn.go (what its user sees) and open.go
// (how it begins).
type stream struct {
	session *Session
	id      uint32
	target  tunnel.Target
	// incoming: the other end opened it.
	incoming bool
	// opened is closed when the dial is answered, or the stream is over.
	opened chan struct{}
	// ctx ends when the stream is over: closed by either end, or failed.
	ctx    context.Context
	cancel context.CancelFunc

	writing sync.Mutex // one frame of data at a time; before mu
	turn    turn

	mu       sync.Mutex
	readers  sync.Cond
	writers  sync.Cond
	rdl, wdl deadline.Deadline

	// What comes.
	in     queue
	inLane uint32 // the lane whose frames are in order now
	from   *Lane  // where the latest data came from
	held   []held // frames of lanes that it has not moved to yet
	// limit, received and consumed count bytes since the beginning: what the
	// other end may send, has sent, and what the user has read.
	limit, received, consumed uint64
	promised                  int // what the budget counts for this stream
	window                    int
	sinceCredit               int // consumed since the latest credit
	creditAt                  int64
	finIn                     bool
	ended                     *tunnel.Ending // the other end has closed

	// What goes.
	out          *Lane
	credit, sent uint64
	busy         bool // between reserve and done: a frame of data is on its way
	burst        int  // sent without a pause
	burstAt      int64
	idle         time.Duration // before the latest send
	finOut       bool          // CloseWrite was called
	oweFin       bool          // fin waits for the data on its way
	owe          *tunnel.Ending
	endSent      bool

	accepted, answered bool
	refused            *tunnel.Ending
	closed             bool  // Close was called
	failure            error // its lane or session ended, or the other end aborted
	gone               bool  // not in the table any more
	counted            bool  // among the table's open ones
}

func newStream(s *Session, t tunnel.Target, l *Lane) *stream {
	st := &stream{
		session: s, target: t, opened: make(chan struct{}),
		inLane: l.instance, from: l, out: l, counted: true,
	}
	st.readers.L, st.writers.L = &st.mu, &st.mu
	st.ctx, st.cancel = context.WithCancel(context.Background())
	st.window = s.budget.first(min(firstWindow, s.cfg.Window))
	st.limit, st.promised = uint64(st.window), st.window
	l.senders.Add(1)
	return st
}

func (st *stream) errorf(format string, args ...any) error {
	return fmt.Errorf("tunnel stream %s: "+format, append([]any{st.target}, args...)...)
}

// answerLocked wakes everybody who waits for something of the stream.
func (st *stream) answerLocked() {
	if !st.answered {
		st.answered = true
		close(st.opened)
	}
	st.readers.Broadcast()
	st.wakeWriters()
}

// wakeWriters makes writers look again at whether they may write.
func (st *stream) wakeWriters() {
	st.writers.Broadcast()
	if st.busy && (st.closed || st.failure != nil || st.ended != nil || st.wdl.Expired()) {
		st.out.cancel(&st.turn)
	}
}

// end sends the last frame of this end, after the data on its way.
func (st *stream) end(e tunnel.Ending) {
	if st.endSent || st.owe != nil || st.failure != nil {
		return
	}
	st.owe = &e
	st.settle()
}

// settle sends what waited for the data on its way; called with mu held.
func (st *stream) settle() {
	if st.busy || st.failure != nil {
		return
	}
	if st.oweFin && !st.endSent {
		st.oweFin = false
		_ = st.out.post(false, appendHeader(nil, kindFin, st.id, 0))
	}
	if st.owe != nil && !st.endSent {
		st.endSent = true
		_ = st.out.post(false, appendEnding(nil, kindEnd, st.id, *st.owe))
	}
	st.leaveTable()
}

// leaveTable forgets the stream when both ends have said their last, and counts
// it out when its user has too. It is called with mu held.
func (st *stream) leaveTable() {
	over := st.failure != nil || st.refused != nil || st.endSent && st.ended != nil
	if !over {
		return
	}
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !st.gone {
		st.gone = true
		delete(s.table.streams, st.id)
		st.out.senders.Add(-1)
		if st.failure != nil {
			s.table.aborted.add(st.id)
		}
	}
	if st.closed && st.counted {
		st.counted = false
		s.table.open--
	}
}

// fail ends the stream at once on this end, and on the other unless tell is
// nil. What was received can still be read.
func (st *stream) fail(err error, tell *tunnel.Ending) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.failLocked(err, tell)
}

func (st *stream) failLocked(err error, tell *tunnel.Ending) {
	if st.failure != nil || st.gone {
		return
	}
	if tell != nil {
		st.abort(*tell)
	}
	st.failure = st.errorf("%w", err)
	st.dropHeld()
	st.promise(st.in.size)
	st.cancel()
	st.answerLocked()
	st.leaveTable()
}

// abort tells the other end on any lane.
func (st *stream) abort(e tunnel.Ending) {
	frame := appendEnding(nil, kindAbort, st.id, e)
	if st.out.post(false, frame) == nil {
		return
	}
	if l := st.session.routes.Load().any(); l != nil {
		_ = l.post(false, frame)
	}
}

// takeAbort handles the other end's failure.
func (st *stream) takeAbort(e tunnel.Ending) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.failLocked(fmt.Errorf("aborted by the other end: %s: %w", printable([]byte(e.Text)), syscall.ECONNRESET), nil)
}

// laneDown ends the stream if it is on the lane, and otherwise repeats what may
// have been lost with the lane.
func (st *stream) laneDown(l *Lane, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.gone:
	case st.out == l || st.inLane == l.instance:
		tell := tunnel.Ending{Code: tunnel.EndAborted, Text: fmt.Sprintf("lane %s ended: %v", l, err)}
		st.failLocked(fmt.Errorf("lane %s ended: %w", l, err), &tell)
	case st.limit > 0 && st.ended == nil && !st.finIn:
		st.postCredit()
	}
}

// now is the session's time.
func (st *stream) now() int64 { return st.session.now() }
