package mux

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// wire is one direction of a link in fake time: bytes come out a delay after
// they went in, or not at all while it is cut.
type wire struct {
	delay  time.Duration
	rate   int // bytes per second; 0 means as many as there are
	pieces chan piece

	mu   sync.Mutex
	cut  bool
	free time.Time // when the line is free again
}

// piece is what was written at once; nil is the end of what is written.
type piece struct {
	at time.Time
	b  []byte
}

// end is one end of a link of two wires.
type end struct {
	net.Conn
	in, out *wire
	rest    []byte // the reader's
	once    sync.Once
	closed  chan struct{}
}

func newLink(delay time.Duration, rate int) (a, b *end, up, down *wire) {
	up = &wire{delay: delay, rate: rate, pieces: make(chan piece, 1<<14)}
	down = &wire{delay: delay, rate: rate, pieces: make(chan piece, 1<<14)}
	a = &end{in: down, out: up, closed: make(chan struct{})}
	b = &end{in: up, out: down, closed: make(chan struct{})}
	return a, b, up, down
}

func (w *wire) setCut(cut bool) { w.mu.Lock(); w.cut = cut; w.mu.Unlock() }

// put takes b and tells how long the line is busy with it.
func (w *wire) put(b []byte) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	if w.rate > 0 {
		w.free = w.free.Add(time.Duration(len(b)) * time.Second / time.Duration(w.rate))
	}
	if !w.cut {
		w.pieces <- piece{w.free.Add(w.delay), b}
	}
	return w.free.Sub(now)
}

// Write takes as long as the line is busy, as with a full socket buffer.
func (e *end) Write(b []byte) (int, error) {
	select {
	case <-e.closed:
		return 0, net.ErrClosed
	case <-time.After(e.out.put(bytes.Clone(b))):
		return len(b), nil
	}
}

func (e *end) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		select {
		case p := <-e.in.pieces:
			select {
			case <-time.After(time.Until(p.at)):
			case <-e.closed:
				return 0, net.ErrClosed
			}
			e.rest = p.b
		case <-e.closed:
			return 0, net.ErrClosed
		}
	}
	if e.rest == nil {
		return 0, io.EOF
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.closed); e.out.put(nil) })
	return nil
}

// pass lets fake time go by.
func pass(d time.Duration) { <-time.After(d) }

// inFakeTime runs f with a session over such a link in each class.
func inFakeTime(t *testing.T, delay time.Duration, rate int, f func(e *ends, l [2]*Lane, up, down *wire, nearDown, farDown downs)) {
	synctest.Test(t, func(t *testing.T) {
		nearDown, farDown := newDowns(), newDowns()
		e := &ends{
			t:    t,
			near: New(true, Config{LaneDown: nearDown.note}),
			far:  New(false, Config{LaneDown: farDown.note, Dial: dialTest}),
		}
		defer e.close()
		a, b, up, down := newLink(delay, rate)
		near, far := e.attachOver(tunnel.LaneInteractive, 0, a, b)
		f(e, [2]*Lane{near, far}, up, down, nearDown, farDown)
	})
}

func TestBothEndsMeasureTheRoundTrip(t *testing.T) {
	inFakeTime(t, 30*time.Millisecond, 0, func(_ *ends, lanes [2]*Lane, _, _ *wire, _, _ downs) {
		pass(5 * time.Second)
		for i, l := range lanes {
			st := l.Stats()
			if st.RTT.Round(time.Millisecond) != 60*time.Millisecond || st.SmoothedRTT.Round(time.Millisecond) != 60*time.Millisecond {
				t.Errorf("end %d measures %v, %v", i, st.RTT, st.SmoothedRTT)
			}
			if st.Unanswered > 1 {
				t.Errorf("end %d misses %d heartbeats", i, st.Unanswered)
			}
		}
	})
}

func TestALinkThatGoesSilentIsKnownOnBothEndsInTime(t *testing.T) {
	for delay, want := range map[time.Duration]time.Duration{
		10 * time.Millisecond: 5 * time.Second,
		time.Second:           11 * time.Second,
		3 * time.Second:       20 * time.Second,
		8 * time.Second:       20 * time.Second,
	} {
		inFakeTime(t, delay, 0, func(_ *ends, lanes [2]*Lane, up, down *wire, nearDown, farDown downs) {
			pass(60*time.Second + time.Millisecond)
			nearDown.none(t, "before the cut")
			farDown.none(t, "before the cut")
			up.setCut(true)
			down.setCut(true)
			begin := time.Now()
			for i, d := range []downs{nearDown, farDown} {
				got := d.wait(t)
				// What is under way at the cut still comes.
				if took := time.Since(begin); took > want+delay || !strings.Contains(got.err.Error(), "nothing heard") {
					t.Errorf("delay %v, end %d: %v after %v", delay, i, got.err, took)
				}
			}
		})
	}
}

func TestOneDirectionThatIsCutEndsTheLane(t *testing.T) {
	inFakeTime(t, time.Millisecond, 0, func(_ *ends, _ [2]*Lane, up, _ *wire, nearDown, farDown downs) {
		pass(3 * time.Second)
		up.setCut(true)
		begin := time.Now()
		farDown.wait(t)
		nearDown.wait(t)
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestALaneThatIsAliveStaysWithoutTraffic(t *testing.T) {
	inFakeTime(t, 50*time.Millisecond, 0, func(e *ends, lanes [2]*Lane, _, _ *wire, nearDown, farDown downs) {
		pass(time.Hour)
		nearDown.none(t, "in an idle hour")
		farDown.none(t, "in an idle hour")
		// 36 bytes of ping and pong each way per two seconds, and the hello.
		for i, l := range lanes {
			if b := l.Stats().Traffic; b.In > 60_000 || b.Out > 60_000 {
				t.Errorf("end %d carried %+v in an idle hour", i, b)
			}
		}
		if l := lanes[0].Stats(); time.Since(l.LastUsed) < 50*time.Minute || time.Since(l.LastHeard) > 3*time.Second {
			t.Errorf("used %v, heard %v ago", time.Since(l.LastUsed), time.Since(l.LastHeard))
		}
	})
}

func TestACopyOnAThinLineKeepsHeartbeatsAndEchoesQuick(t *testing.T) {
	// 1 Mbit/s without a buffer below: a frame of data takes 0.13 s.
	inFakeTime(t, 10*time.Millisecond, 125_000, func(e *ends, lanes [2]*Lane, _, _ *wire, nearDown, farDown downs) {
		echo := mustOpen(t, e.near, "echo")
		for range 8 {
			conn := mustOpen(t, e.near, "sink")
			go func() { _, _ = conn.Write(make([]byte, 64<<20)) }()
		}
		pass(30 * time.Second)
		for range 20 {
			begin := time.Now()
			mustEcho(t, echo, 100)
			// One frame that is being written, and the way there and back.
			if took := time.Since(begin); took > 200*time.Millisecond {
				t.Errorf("an echo took %v", took)
			}
		}
		if rtt := lanes[0].Stats().SmoothedRTT; rtt > 200*time.Millisecond {
			t.Errorf("heartbeats take %v", rtt)
		}
		nearDown.none(t, "during the copy")
		farDown.none(t, "during the copy")
	})
}

func TestACopyThatWaitsForAThinLineWantsABulkLaneAndComesBackFromIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := make(chan tunnel.Lane, 1000)
		e := &ends{
			t:    t,
			near: New(true, Config{WantLane: func(class tunnel.Lane) { wanted <- class }}),
			far:  New(false, Config{Dial: dialTest}),
		}
		defer e.close()
		// A window takes two seconds, so writes wait much longer than a pause.
		a, b, _, _ := newLink(10*time.Millisecond, 125_000)
		e.attachOver(tunnel.LaneInteractive, 0, a, b)
		conn := mustOpen(t, e.near, "sink")
		_, _ = conn.Write(make([]byte, 1<<20))
		if len(wanted) == 0 || len(wanted) > 10 || <-wanted != tunnel.LaneBulk {
			t.Fatalf("a bulk lane was wanted %d times in ten seconds", len(wanted))
		}
		a, b, _, _ = newLink(10*time.Millisecond, 125_000)
		e.attachOver(tunnel.LaneBulk, 0, a, b)
		_, _ = conn.Write(make([]byte, 1<<20))
		if got := conn.sendsOn(); got != tunnel.LaneBulk {
			t.Fatalf("it sends on %s", got)
		}
		pass(returnAfter + time.Second)
		_, _ = conn.Write(make([]byte, 100))
		if got := conn.sendsOn(); got != tunnel.LaneInteractive {
			t.Fatalf("after a pause it sends on %s", got)
		}
	})
}

func TestStreamsShareALaneFairly(t *testing.T) {
	inFakeTime(t, 10*time.Millisecond, 1<<20, func(e *ends, _ [2]*Lane, _, _ *wire, _, _ downs) {
		var conns []*stream
		for i := range 5 {
			conn := mustOpen(t, e.near, "sink")
			conns = append(conns, conn)
			size := 1000 << (2 * i) // from small writes to large ones
			go func() {
				for buf := make([]byte, size); ; {
					if _, err := conn.Write(buf); err != nil {
						return
					}
				}
			}()
		}
		pass(20 * time.Second)
		for i, conn := range conns {
			conn.mu.Lock()
			sent := conn.sent
			conn.mu.Unlock()
			// 4 MiB each if frames were equal; small ones get less by their size.
			if sent < 1<<20/4 || sent > 8<<20 {
				t.Errorf("stream %d sent %d bytes", i, sent)
			}
		}
	})
}
