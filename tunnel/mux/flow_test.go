package mux

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// fill writes until nothing is taken any more.
func fill(t *testing.T, conn net.Conn) {
	t.Helper()
	go func() { _, _ = conn.Write(make([]byte, 8<<20)) }()
}

// floods is a target that writes without end and never reads.
func floods(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	if t.Address != "flood" {
		return dialTest(ctx, t)
	}
	a, b := net.Pipe()
	go func() {
		for buf := make([]byte, 32<<10); ; {
			if _, err := b.Write(buf); err != nil {
				return
			}
		}
	}()
	return a, nil
}

func TestStreamsUnreadInBothDirectionsStopNobodyElse(t *testing.T) {
	for name, bulk := range map[string]bool{"interactive lane only": false, "with a bulk lane": true} {
		t.Run(name, func(t *testing.T) {
			e := interactive(t, Config{}, Config{Dial: floods})
			if bulk {
				e.attach(tunnel.LaneBulk, 0)
			}
			var full []*stream
			for range 40 {
				conn := mustOpen(t, e.near, "flood")
				fill(t, conn)
				full = append(full, conn)
			}
			for _, conn := range full {
				eventually(t, "both directions to be full", func() bool { return conn.stuck() })
			}
			conn := mustOpen(t, e.near, "echo")
			for range 10 {
				mustEcho(t, conn, 1<<20)
			}
			// Closing them brings everything back.
			for _, conn := range full {
				_ = conn.Close()
			}
			mustEcho(t, conn, 1<<20)
			eventually(t, "memory to be given back", func() bool {
				return e.near.Stats().Streams == 1 && e.far.Stats().Streams == 1
			})
		})
	}
}

// stuck tells that neither end may send any more.
func (st *stream) stuck() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sent == st.credit && st.received == st.limit
}

func TestASlowReaderDoesNotSlowAnother(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	e.attach(tunnel.LaneBulk, 0)
	slow, quick := mustOpen(t, e.near, "source"), mustOpen(t, e.near, "source")
	// The slow one reads nothing at all while the quick one reads 64 MiB.
	if _, err := io.CopyN(io.Discard, quick, 64<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, slow, 1<<20); err != nil {
		t.Fatal(err)
	}
}

func TestTenThousandStreamsStayWithinTheCap(t *testing.T) {
	const limit, streams = 8 << 20, 10_000
	near := Config{MaxStreams: streams, MaxBuffered: limit}
	e := interactive(t, near, Config{MaxStreams: streams, MaxBuffered: limit, Dial: floods})
	conns := make([]net.Conn, streams)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := i; j < streams; j += 20 {
				conns[j] = mustOpen(t, e.near, "flood")
			}
		})
	}
	wg.Wait()
	conn := conns[0].(*stream)
	for _, c := range conns {
		st := c.(*stream)
		eventually(t, "a stream to be full", func() bool {
			st.mu.Lock()
			defer st.mu.Unlock()
			return st.received == st.limit
		})
	}
	if got := e.near.Stats().Promised; got > limit {
		t.Fatalf("%d bytes are promised, the cap is %d", got, limit)
	}
	held := 0
	for _, c := range conns {
		held += c.(*stream).memory()
	}
	// Pieces of memory are at most about twice as large as what is in them.
	if held > 5*limit/2 {
		t.Fatalf("%d bytes are held, the cap is %d", held, limit)
	}
	// Everybody can still go on.
	for _, c := range []net.Conn{conn, conns[streams-1]} {
		if _, err := io.CopyN(io.Discard, c, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "memory to be given back", func() bool { return e.near.budget.total() == 0 })
	eventually(t, "the streams to end", func() bool { return e.near.Stats().Streams == 0 })
}

// memory is what a stream holds unread, with what is around it.
func (st *stream) memory() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := 0
	for c := st.in.first; c != nil; c = c.next {
		n += len(c.buf)
	}
	return n
}

func TestManySmallWritesShareMemory(t *testing.T) {
	e := interactive(t, Config{}, Config{Dial: floods})
	st := mustOpen(t, e.near, "mute")
	l := e.near.routes.Load().interactive
	for range 60_000 {
		if err := st.takeData(l, []byte{1}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := st.memory(); got > 150_000 {
		t.Fatalf("60000 bytes take %d", got)
	}
}

func TestBudgetNeverPromisesMoreThanItsCap(t *testing.T) {
	b := budget{cap: 1 << 20, streams: 100}
	var held [100]int
	for round := range 50 {
		for i := range held {
			if round == 0 {
				held[i] = b.first(firstWindow)
			} else if (i+round)%3 == 0 {
				b.release(held[i])
				held[i] = 0
				held[i] = b.refill(DefaultWindow*maxWindow>>(i%6), 0)
			}
			if held[i] == 0 || b.total() > b.cap {
				t.Fatalf("round %d, stream %d: has %d of %d", round, i, held[i], b.total())
			}
		}
	}
}

func TestWindowGrowsOnALongBulkLaneOnly(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	bulk, _ := e.attach(tunnel.LaneBulk, 0)
	st := mustOpen(t, e.near, "mute")
	st.mu.Lock()
	defer st.mu.Unlock()
	st.window, st.creditAt = DefaultWindow, st.now()
	if got := st.wantedWindow(); got != DefaultWindow {
		t.Errorf("interactive: %d", got)
	}
	st.from = bulk
	bulk.pulse.smoothed.Store(int64(time.Hour))
	if got := st.wantedWindow(); got != 2*DefaultWindow {
		t.Errorf("long bulk lane: %d", got)
	}
	st.window = DefaultWindow * maxWindow
	if got := st.wantedWindow(); got != DefaultWindow*maxWindow {
		t.Errorf("largest: %d", got)
	}
	bulk.pulse.smoothed.Store(1)
	st.window = DefaultWindow
	if got := st.wantedWindow(); got != DefaultWindow {
		t.Errorf("short bulk lane: %d", got)
	}
}
