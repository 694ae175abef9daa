package flow

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// Datagrams begin with what they are, to whom they belong, their number from 0
// and when they were sent.
const (
	kindEcho  = 'E'
	kindData  = 'D'
	kindHello = 'H'

	headSize = 1 + 3*8
)

type head struct {
	kind    byte
	id, seq uint64
	sent    time.Time
}

func (h head) put(b []byte) {
	b[0] = h.kind
	binary.BigEndian.PutUint64(b[1:], h.id)
	binary.BigEndian.PutUint64(b[9:], h.seq)
	binary.BigEndian.PutUint64(b[17:], uint64(h.sent.UnixNano()))
}

func parseHead(b []byte) (h head, ok bool) {
	if len(b) < headSize {
		return h, false
	}
	return head{
		kind: b[0], id: binary.BigEndian.Uint64(b[1:]), seq: binary.BigEndian.Uint64(b[9:]),
		sent: time.Unix(0, int64(binary.BigEndian.Uint64(b[17:]))),
	}, true
}

// datagrams counts those of one job where they arrive.
type datagrams struct {
	mu       sync.Mutex
	meter    meter
	seen     []uint64 // a bit for each number
	next     uint64   // after the highest number so far
	received int64
	late     int64 // after one with a higher number
	delays   []time.Duration
	hello    chan netip.AddrPort // to whom to send; of capacity 1
}

func newDatagrams(origin time.Time) *datagrams {
	return &datagrams{meter: meter{origin: origin}, hello: make(chan netip.AddrPort, 1)}
}

func (d *datagrams) add(h head, n int, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	const most = 1 << 32 // numbers; a higher one is not ours
	word, bit := h.seq/64, uint64(1)<<(h.seq%64)
	if h.seq >= most {
		return
	}
	for uint64(len(d.seen)) <= word {
		d.seen = append(d.seen, 0)
	}
	if d.seen[word]&bit != 0 {
		return
	}
	d.seen[word] |= bit
	if h.seq < d.next {
		d.late++
	}
	d.next = max(d.next, h.seq+1)
	d.received++
	d.meter.add(n, now)
	d.delays = append(d.delays, now.Sub(h.sent))
}

// idle is how long nothing has arrived.
func (d *datagrams) idle(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Sub(d.meter.last)
}

func (d *datagrams) count() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.received
}

func (d *datagrams) result() Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.meter.result()
	r.Received, r.Reordered, r.Delays = d.received, d.late, delaysOf(d.delays)
	return r
}

// quiet is how long nothing may arrive until what was sent counts as lost.
const quiet = time.Second

// settle waits until all that were sent have arrived or nothing has for a while.
func (d *datagrams) settle(sent int64) {
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for now := range tick.C {
		if d.count() >= sent || (now.Sub(began) > quiet && d.idle(now) > quiet) || now.Sub(began) > drain {
			return
		}
	}
}

// paced calls one for every datagram that is due at the rate for that long, and
// returns how many there were. Who had no processor for a while does not make up for it:
// what comes all at once would overflow a queue that has room for the rate.
func paced(length time.Duration, size int, rate int64, one func(seq uint64) error) (int64, error) {
	const pause, most = time.Millisecond, 3 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	perSecond := float64(rate) / 8 / float64(size)
	began := time.Now()
	due, n := 1.0, int64(0)
	for last := began; ; {
		for ; due >= 1; due-- {
			if err := one(uint64(n)); err != nil {
				return n, err
			}
			n++
		}
		now := <-tick.C
		due += min(now.Sub(last), most).Seconds() * perSecond
		last = now
		if now.Sub(began) >= length {
			return n, nil
		}
	}
}
