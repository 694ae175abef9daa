package mux

import (
	"fmt"

	"github.com/kedge-io/kedge/tunnel"
)

// frame is one that must be handled in the order in which it was sent.
type frame struct {
	kind     kind
	ending   tunnel.Ending
	instance uint32
}

// held are frames that came before the stream moved to their lane: some data,
// then the frame after it, if it came.
type held struct {
	lane uint32
	data queue
	frame
}

const (
	// maxHeld bounds the list. Data is bounded by credit, and an end that moves
	// more often than this ahead of its own frames has lost its way.
	maxHeld = 64
	// maxCredit bounds what an end is promised beyond what it has sent, in
	// bytes. It is far above every window and keeps sums from overflowing.
	maxCredit = 1 << 30
)

// takeData takes data: p, which is copied, or c, which is the stream's now.
func (st *stream) takeData(l *Lane, p []byte, c *chunk) error {
	n := len(p)
	if c != nil {
		n = c.end
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	q, err := st.place(l, n)
	if q == nil || err != nil {
		if c != nil {
			c.free()
		}
		return err
	}
	if c != nil {
		q.push(c)
	} else {
		q.write(p)
	}
	if q == &st.in {
		st.readers.Broadcast()
	}
	return nil
}

// place is where n bytes from a lane go; nil if nobody wants them.
func (st *stream) place(l *Lane, n int) (*queue, error) {
	if st.received+uint64(n) > st.limit {
		return nil, fmt.Errorf("%w: data without credit on stream %d", ErrProtocol, st.id)
	}
	st.received += uint64(n)
	switch {
	case st.failure != nil || st.closed:
		// The other end does not know yet, or only sends what crossed its end.
		return nil, nil
	case l.instance != st.inLane:
		h, err := st.hold(l.instance)
		if err != nil {
			return nil, err
		}
		return &h.data, nil
	case st.finIn || st.ended != nil:
		return nil, fmt.Errorf("%w: data after the end of stream %d", ErrProtocol, st.id)
	}
	st.from = l
	return &st.in, nil
}

// hold returns the latest entry of a lane that is still open for data.
func (st *stream) hold(lane uint32) (*held, error) {
	for i := len(st.held) - 1; i >= 0; i-- {
		if h := &st.held[i]; h.lane == lane {
			if h.kind == 0 {
				return h, nil
			}
			break
		}
	}
	if len(st.held) >= maxHeld {
		return nil, fmt.Errorf("%w: stream %d moves too often", ErrProtocol, st.id)
	}
	st.held = append(st.held, held{lane: lane})
	return &st.held[len(st.held)-1], nil
}

// take handles fin, end and move.
func (st *stream) take(l *Lane, f frame) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failure != nil {
		return nil
	}
	if l.instance != st.inLane {
		h, err := st.hold(l.instance)
		if err == nil {
			h.frame = f
		}
		return err
	}
	if err := st.apply(f); err != nil {
		return err
	}
	return st.release()
}

// apply handles a frame whose turn it is.
func (st *stream) apply(f frame) error {
	if st.ended != nil || st.finIn && f.kind == kindFin {
		return fmt.Errorf("%w: frame of kind %#x after the end of stream %d", ErrProtocol, byte(f.kind), st.id)
	}
	switch f.kind {
	case kindFin:
		st.finIn = true
		st.promiseUnread()
		st.readers.Broadcast()
	case kindEnd:
		st.takeEnd(f.ending)
	case kindMove:
		if err := st.session.knows(f.instance); err != nil {
			if err == errLaneLost {
				st.failLocked(err, new(tunnel.EndWith(tunnel.EndAborted, err)))
				return nil
			}
			return err
		}
		st.inLane = f.instance
	}
	return nil
}

// release handles what was held of the lane that the stream is on now, and so
// on until nothing more is in order.
func (st *stream) release() error {
	for i := 0; i < len(st.held) && st.failure == nil; {
		h := st.held[i]
		if h.lane != st.inLane {
			i++
			continue
		}
		st.held = append(st.held[:i], st.held[i+1:]...)
		if h.data.size > 0 && (st.finIn || st.ended != nil) {
			h.data.clear()
			return fmt.Errorf("%w: data after the end of stream %d", ErrProtocol, st.id)
		}
		st.in.move(&h.data)
		st.readers.Broadcast()
		if h.kind != 0 {
			if err := st.apply(h.frame); err != nil {
				return err
			}
		}
		i = 0
	}
	if len(st.held) == 0 {
		st.held = nil
	}
	return nil
}

func (st *stream) dropHeld() {
	for i := range st.held {
		st.held[i].data.clear()
	}
	st.held = nil
}

// takeEnd handles the other end's last frame.
func (st *stream) takeEnd(e tunnel.Ending) {
	st.ended = &e
	st.promiseUnread()
	st.cancel()
	st.answerLocked()
	st.end(tunnel.Ending{Code: tunnel.EndNormal})
	st.leaveTable()
}

// promiseUnread frees what the other end will not use.
func (st *stream) promiseUnread() {
	if !st.closed {
		st.promise(int(st.received - st.consumed))
	}
}

// promise lowers what the budget counts for the stream to n bytes.
func (st *stream) promise(n int) {
	if n = max(n, 0); n < st.promised {
		st.session.budget.release(st.promised - n)
		st.promised = n
	}
}

// consume accounts for n bytes that the user has read, and lets the other end
// send as many more; called with mu held.
func (st *stream) consume(n int) {
	if st.closed || n == 0 {
		return
	}
	st.consumed += uint64(n)
	st.promise(st.promised - n)
	if st.finIn || st.ended != nil || st.failure != nil {
		return
	}
	st.sinceCredit += n
	// Half a window at a time keeps the sender busy and credits rare.
	if st.sinceCredit < st.window/2 {
		return
	}
	want := st.wantedWindow()
	more := st.session.budget.refill(want, st.promised)
	if more == 0 {
		return
	}
	st.promised += more
	st.window = st.promised
	st.limit += uint64(more)
	st.sinceCredit, st.creditAt = 0, st.now()
	st.postCredit()
}

// wantedWindow is what the stream should have if memory allows: more than the
// configured window if a reader that keeps up uses it up within two round
// trips, so that the sender waits for credit and not for the line.
func (st *stream) wantedWindow() int {
	base := st.session.cfg.Window
	if dataLimit(st.from.class) == maxInteractiveData {
		return base
	}
	rtt := st.from.pulse.smoothed.Load()
	if st.window >= base && st.in.size < st.window/4 && st.now()-st.creditAt < 2*rtt {
		return min(2*st.window, base*maxWindow)
	}
	return max(base, min(st.window, base*maxWindow))
}

// postCredit tells the other end the limit, which may be repeated and may
// overtake others: only the highest counts. Credit goes by the interactive
// lane, where it does not wait behind bulk data.
func (st *stream) postCredit() {
	frame := appendCredit(nil, st.id, st.limit)
	if l := st.session.routes.Load().interactive; l != nil && l.post(true, frame) == nil {
		return
	}
	_ = st.out.post(true, frame)
}

// takeCredit handles the other end's limit.
func (st *stream) takeCredit(limit uint64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if limit > st.sent+maxCredit {
		return fmt.Errorf("%w: credit of %d bytes on stream %d", ErrProtocol, limit-st.sent, st.id)
	}
	if limit > st.credit {
		st.credit = limit
		st.writers.Broadcast()
	}
	return nil
}
