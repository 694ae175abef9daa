package mux

import (
	"errors"
	"fmt"
	"sync"
)

// outbox is the sending side of a lane. Whoever has something to send writes
// it by himself; there is no goroutine that waits for work.
//
// At any time at most one goroutine, the holder, writes to the connection.
// Small frames of others meanwhile go into buffers, which the holder or its
// successor writes next; large ones wait for their turn, in order. So the
// lane's reader, whose frames are all small, never waits, and a small frame
// waits for one large frame at most.
type outbox struct {
	mu   sync.Mutex
	busy bool  // somebody is the holder
	dead error // nothing more is sent; why
	// urgent goes out before normal. Frames whose order among the frames of
	// their stream matters are never urgent.
	urgent, normal []byte
	// pong is sent before everything, and replaced by a newer one.
	pong    pong
	hasPong bool
	spare   []byte // memory for the next buffer
	turns   []*turn
	packets packetQueue
}

// Limits of an outbox, in bytes.
const (
	// smallFrame is the largest frame that is copied to a buffer.
	smallFrame = 4 << 10
	// maxCoalesced bounds the data in the buffers: a write of data waits for
	// its turn when there is more.
	maxCoalesced = 16 << 10
	// maxPending bounds the buffers. Only an end that takes nothing while it
	// asks for ever more answers makes them as large.
	maxPending = 1 << 20
	// keptBuffer is the largest buffer that an idle lane keeps.
	keptBuffer = 4 << 10
)

// errTurn says that a wait for the turn was given up.
var errTurn = errors.New("gave up the turn")

// turn is a place in the line of those who write large frames. A stream has
// one, as it writes one frame at a time.
type turn struct {
	ready   chan struct{}
	granted bool
}

// post queues a frame and sees to its being written, without waiting.
func (l *Lane) post(urgent bool, frame []byte) error {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.postLocked(urgent, frame)
}

func (l *Lane) postLocked(urgent bool, frame []byte) error {
	o := &l.out
	if o.dead != nil {
		return o.dead
	}
	if len(o.urgent)+len(o.normal)+len(frame) > maxPending {
		err := fmt.Errorf("the other end takes nothing while %d bytes of answers wait for it", maxPending)
		l.failLocked(err)
		return err
	}
	if urgent {
		o.urgent = append(o.urgent, frame...)
	} else {
		o.normal = append(o.normal, frame...)
	}
	l.startLocked()
	return nil
}

// startLocked makes a new goroutine the holder unless there is one.
func (l *Lane) startLocked() {
	if !l.out.busy {
		l.out.busy = true
		l.session.wg.Go(l.flush)
	}
}

// flush writes what is pending and then lets go. It is called by the holder.
func (l *Lane) flush() {
	for l.flushOnce() && !l.pass() {
	}
}

// pass makes the first in line the holder, or nobody if nothing is pending; it
// tells whether the caller is no longer the holder.
func (l *Lane) pass() bool {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.passLocked()
}

func (o *outbox) passLocked() bool {
	switch {
	case len(o.turns) > 0:
		t := o.turns[0]
		o.turns[0] = nil
		o.turns = o.turns[1:]
		t.granted = true
		t.ready <- struct{}{}
	case o.dead == nil && o.pendingLocked():
		return false
	default:
		o.busy = false
	}
	return true
}

func (o *outbox) pendingLocked() bool {
	return o.hasPong || len(o.urgent)+len(o.normal) > 0 || o.packets.first != nil
}

// write sends a frame of data, copied or written before it returns. It waits
// for its turn if the frame is large or much is pending, until cancel.
func (l *Lane) write(t *turn, frame []byte) error {
	o := &l.out
	o.mu.Lock()
	switch {
	case o.dead != nil:
		defer o.mu.Unlock()
		return o.dead
	case !o.busy:
		o.busy = true
		o.mu.Unlock()
	case len(frame) <= smallFrame && len(o.normal)+len(frame) <= maxCoalesced:
		o.normal = append(o.normal, frame...)
		o.mu.Unlock()
		return nil
	default:
		if t.ready == nil {
			t.ready = make(chan struct{}, 1)
		}
		t.granted = false
		o.turns = append(o.turns, t)
		o.mu.Unlock()
		<-t.ready
		if !t.granted {
			return errTurn
		}
	}
	ok := l.flushOnce() && l.output(frame)
	l.letGo()
	if !ok {
		return l.deadError()
	}
	return nil
}

// letGo ends the caller's time as the holder without more writing by it. The
// session's group may be added to under the lock only, while the lane is not
// dead and so its reader is in the group: the session's end waits for the group.
func (l *Lane) letGo() {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	if !l.out.passLocked() {
		l.session.wg.Go(l.flush)
	}
}

// cancel takes a turn out of the line, if it is there, and wakes its owner.
func (l *Lane) cancel(t *turn) {
	o := &l.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, other := range o.turns {
		if other == t {
			o.turns = append(o.turns[:i], o.turns[i+1:]...)
			t.ready <- struct{}{}
			return
		}
	}
}

// flushOnce writes what is pending now; false says that the lane is dead. It is
// called by the holder.
func (l *Lane) flushOnce() bool {
	o := &l.out
	o.mu.Lock()
	if o.dead != nil {
		o.mu.Unlock()
		return false
	}
	small := o.takeLocked()
	packets := o.packets.takeLocked(l.session)
	o.mu.Unlock()
	ok := len(small) == 0 || l.output(small)
	if packets != nil {
		ok = ok && l.output(packets.unread())
		l.session.packetsOut.Add(int64(packets.count))
		packets.free()
	}
	if cap(small) > 0 && cap(small) <= keptBuffer {
		o.mu.Lock()
		o.spare = small[:0]
		o.mu.Unlock()
	}
	return ok
}

// takeLocked returns all small frames that are pending, the urgent ones first.
func (o *outbox) takeLocked() []byte {
	if !o.hasPong && len(o.urgent)+len(o.normal) == 0 {
		return nil
	}
	b := o.spare[:0]
	o.spare = nil
	if o.hasPong {
		b = appendPong(b, o.pong)
		o.hasPong = false
	}
	if len(b) == 0 && len(o.urgent) == 0 {
		// The common case: data of one stream. The buffers change places.
		o.normal, b = b, o.normal
		return b
	}
	b = append(append(b, o.urgent...), o.normal...)
	o.urgent, o.normal = kept(o.urgent), kept(o.normal)
	return b
}

// kept is an empty buffer with the memory of b, unless that is large.
func kept(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// output writes to the connection; false says that the lane is dead.
func (l *Lane) output(b []byte) bool {
	n, err := l.conn.Write(b)
	l.count(&l.bytesOut, &l.traffic.out, n)
	if err != nil {
		l.fail(fmt.Errorf("write: %w", err))
		return false
	}
	return true
}

func (l *Lane) deadError() error {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	return l.out.dead
}

// fail ends the lane: nothing more is written, the connection is cut, and the
// reader, once it has seen that, ends the streams. The first reason counts.
func (l *Lane) fail(err error) {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.failLocked(err)
}

func (l *Lane) failLocked(err error) {
	o := &l.out
	if o.dead != nil {
		return
	}
	o.dead = err
	o.urgent, o.normal, o.spare = nil, nil, nil
	o.packets.clearLocked(l.session)
	for _, t := range o.turns {
		t.ready <- struct{}{}
	}
	o.turns = nil
	l.beats.Stop()
	// Not under the lock: a connection may take its time to close.
	l.session.wg.Go(l.cut)
}
