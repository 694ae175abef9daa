package mux

import (
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Limits of the queue of packets of one lane. Beyond them packets are dropped:
// those who sent them know how to go slower, a queue would hide that.
const (
	// maxPackets bounds the queue, in bytes: 100 ms at 160 Mbit/s, and 30 of
	// the largest packets.
	maxPackets = 2 << 20
	// maxSojourn is how old a packet may become in the queue.
	maxSojourn = 100 * time.Millisecond
	// batchSize is how much small packets are collected to, in bytes: one write
	// and one TLS record.
	batchSize = maxInteractiveData
	// batchAge bounds how much younger than its first packet the last one of a
	// batch is, so that dropping by age is fair.
	batchAge = 5 * time.Millisecond
)

// batch is a chunk full of packet frames.
type batch struct {
	*chunk
	count int
	since time.Time // when the first packet came
	next  *batch
}

// packetQueue holds packets that wait for the holder of the outbox.
type packetQueue struct {
	first, last *batch
	size        int
}

// addLocked copies a packet to the queue; false says that it is full.
func (q *packetQueue) addLocked(p []byte, now time.Time) bool {
	size := headerSize + len(p)
	if q.size+size > maxPackets {
		return false
	}
	b := q.last
	if b == nil || b.end+size > batchSize || now.Sub(b.since) > batchAge {
		// A packet that does not come alone is soon followed by more.
		room := size
		if b != nil {
			room = max(room, batchSize)
		}
		b = &batch{chunk: newChunk(room), since: now}
		if q.last == nil {
			q.first = b
		} else {
			q.last.next = b
		}
		q.last = b
	} else if len(b.buf)-b.end < size {
		b.grow()
	}
	b.buf = appendHeader(b.buf[:b.end], kindPacket, 0, len(p))
	b.buf = append(b.buf, p...)
	b.end = len(b.buf)
	b.buf = b.buf[:cap(b.buf)]
	b.count++
	q.size += size
	return true
}

// grow gives a batch that began with one small packet its full room.
func (b *batch) grow() {
	c := newChunk(batchSize)
	c.end = copy(c.buf, b.unread())
	b.chunk.free()
	b.chunk = c
}

// takeLocked returns the first batch that is not too old, nil if there is none.
func (q *packetQueue) takeLocked(s *Session) *batch {
	if q.first == nil {
		return nil
	}
	now := time.Now()
	for b := q.popLocked(); b != nil; b = q.popLocked() {
		if now.Sub(b.since) <= maxSojourn {
			return b
		}
		s.packetsDropped.Add(int64(b.count))
		b.free()
	}
	return nil
}

func (q *packetQueue) popLocked() *batch {
	b := q.first
	if b == nil {
		return nil
	}
	if q.first = b.next; q.first == nil {
		q.last = nil
	}
	q.size -= b.end
	return b
}

func (q *packetQueue) clearLocked(s *Session) {
	for b := q.popLocked(); b != nil; b = q.popLocked() {
		s.packetsDropped.Add(int64(b.count))
		b.free()
	}
}

// SendPacket queues a copy of p on a relay lane. It never waits: false says
// that the packet was dropped, because there is no such lane or its queue is
// full.
func (s *Session) SendPacket(p []byte) bool {
	sent := len(p) > 0 && len(p) <= maxPacket && s.sendPacket(p)
	if !sent {
		s.packetsDropped.Add(1)
	}
	return sent
}

func (s *Session) sendPacket(p []byte) bool {
	l := s.routes.Load().relay
	if l == nil {
		s.want(tunnel.LaneRelay)
		return false
	}
	l.used.Store(true)
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	if l.out.dead != nil || !l.out.packets.addLocked(p, time.Now()) {
		return false
	}
	l.startLocked()
	return true
}

// takePacket hands a packet of the other end to the user.
func (l *Lane) takePacket(n int) error {
	s := l.session
	s.packetsIn.Add(1)
	l.used.Store(true)
	if n <= readBuffer {
		return l.small(header{length: n}, func(p []byte) error { s.packet(p); return nil })
	}
	c := newChunk(n)
	defer c.free()
	if err := l.readFull(c.buf[:n]); err != nil {
		return err
	}
	s.packet(c.buf[:n])
	return nil
}

func (s *Session) packet(p []byte) {
	if s.cfg.Packet != nil {
		s.cfg.Packet(p)
	}
}
