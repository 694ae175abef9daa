package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

const (
	// moveAfter is how much a direction sends without a pause before it moves
	// to a bulk lane, in bytes.
	moveAfter = 256 << 10
	// pause is how long a direction has nothing to send before it counts anew:
	// longer than a screenful waits for the next key.
	pause = 500 * time.Millisecond
	// returnAfter is how long it has nothing to send before it moves back.
	returnAfter = 5 * time.Second
	// crowd is how many streams send on the least loaded bulk lane when one
	// more lane would help.
	crowd = 2
)

// Sizes of the memory that ReadFrom reads into, with the header. A stream that
// waits for its source holds little; it grows while reads fill it.
const (
	minReadFrom = 4 << 10
	maxReadFrom = headerSize + maxData
)

// Write implements net.Conn. A write deadline ends the wait for the other
// end's reader and for the turn on the lane; a write that waits for the
// connection itself ends with the lane.
func (st *stream) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		part := b[written:min(len(b), written+maxData)]
		c := newChunk(headerSize + len(part))
		copy(c.buf[headerSize:], part)
		n, err := st.send(c.buf[:headerSize+len(part)])
		c.free()
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// ReadFrom implements io.ReaderFrom. Data goes from r to the lane without
// being copied.
func (st *stream) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	size := minReadFrom
	for {
		c := newChunk(size)
		n, err := r.Read(c.buf[headerSize:size])
		if n > 0 {
			m, werr := st.send(c.buf[:headerSize+n])
			total += int64(m)
			if werr != nil {
				c.free()
				return total, werr
			}
		}
		c.free()
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		case headerSize+n == size:
			size = min(4*size, maxReadFrom)
		case n < size/4:
			size = max(size/4, minReadFrom)
		}
	}
}

// send sends what follows room for a header in b, in as many frames as lane and
// credit ask for. Headers are written into b.
func (st *stream) send(b []byte) (int, error) {
	st.writing.Lock()
	defer st.writing.Unlock()
	st.resume()
	sent, total := 0, len(b)-headerSize
	for sent < total {
		l, n, err := st.reserve(total - sent)
		if err != nil {
			return sent, err
		}
		frame := b[sent : sent+headerSize+n]
		putHeader(frame, kindData, st.id, n)
		err = l.write(&st.turn, frame)
		if err := st.done(n, err); err != nil {
			return sent, err
		}
		if !errors.Is(err, errTurn) {
			sent += n
		}
	}
	return sent, nil
}

// resume notes how long the user had nothing to send. Time that a send waited
// for credit or for the line is no pause.
func (st *stream) resume() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.idle = 0
	if st.burstAt > 0 {
		st.idle = time.Duration(st.now() - st.burstAt)
	}
	if st.idle > pause {
		st.burst = 0
	}
}

// reserve waits until 1 to want bytes may be sent, takes them from the credit
// and tells by which lane they go. done must follow.
func (st *stream) reserve(want int) (*Lane, int, error) {
	l, n, ask, err := st.tryReserve(want)
	if ask {
		st.session.want(tunnel.LaneBulk)
	}
	return l, n, err
}

func (st *stream) tryReserve(want int) (l *Lane, n int, ask bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		if err := st.writeEnd(); err != nil {
			return nil, 0, false, err
		}
		if st.credit > st.sent {
			ask = st.route()
			n = min(want, int(st.credit-st.sent), dataLimit(st.out.class))
			st.sent += uint64(n)
			st.busy = true
			return st.out, n, ask, nil
		}
		st.writers.Wait()
	}
}

// writeEnd tells why no more may be written, or nil.
func (st *stream) writeEnd() error {
	switch {
	case st.closed || st.finOut:
		return net.ErrClosed
	case st.wdl.Expired():
		return os.ErrDeadlineExceeded
	case st.ended != nil:
		return st.errorf("the other end closed: %w", syscall.EPIPE)
	}
	return st.failure
}

// done follows reserve when the frame has been written, or not.
func (st *stream) done(n int, err error) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.busy = false
	gaveUp := errors.Is(err, errTurn)
	if gaveUp {
		st.sent -= uint64(n)
		err = nil
	} else {
		st.burst += n
		st.burstAt = st.now()
		st.out.used.Store(true)
	}
	st.settle()
	switch {
	case err == nil:
		return nil
	case st.failure != nil:
		return st.failure
	}
	return st.errorf("lane %s ended: %w", st.out, err)
}

// route moves the stream to the lane that fits what it sends. It tells whether
// one more bulk lane would help. No data is on its way.
func (st *stream) route() (ask bool) {
	routes := st.session.routes.Load()
	switch {
	case st.out.retiring.Load():
		st.move(routes.any())
	case st.out.class == tunnel.LaneInteractive && st.burst > moveAfter:
		to := routes.leastLoaded()
		st.move(to)
		return to == nil || to.senders.Load() > crowd
	case st.out.class == tunnel.LaneBulk && st.idle > returnAfter:
		st.idle = 0
		st.move(routes.interactive)
	}
	return false
}

// move makes another lane the one that the stream sends on, if there is one.
func (st *stream) move(to *Lane) {
	if to == nil || to == st.out {
		return
	}
	if st.out.post(false, appendMove(nil, st.id, to.instance)) != nil {
		return // the lane is dead, and the stream will be told
	}
	st.out.senders.Add(-1)
	to.senders.Add(1)
	st.out = to
}

// leave moves the stream off a lane that is retired, now or before its next
// frame.
func (st *stream) leave(l *Lane) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.out == l && !st.busy && !st.gone && !st.endSent {
		st.move(st.session.routes.Load().any())
	}
}

// uses tells whether any stream is on the lane, in either direction.
func (s *Session) uses(l *Lane) bool {
	s.mu.Lock()
	streams := s.table.all()
	s.mu.Unlock()
	for _, st := range streams {
		if st.uses(l) {
			return true
		}
	}
	return false
}

func (st *stream) uses(l *Lane) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.gone && (st.out == l || st.inLane == l.instance)
}
