package mux

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

// TestAThousandRoundsLeaveNothing connects, uses and ends a session in turn in
// each way that there is.
func TestAThousandRoundsLeaveNothing(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	var got inbox
	round := func(i int) {
		near, far := New(true, Config{Packet: got.put}), New(false, Config{Dial: dialTest, Packet: func([]byte) {}})
		var conns []net.Conn
		for _, class := range []tunnel.Lane{tunnel.LaneInteractive, tunnel.LaneBulk, tunnel.LaneRelay} {
			a, b := tcpPair(t)
			_, _ = near.Attach(class, 0, a)
			_, _ = far.Attach(class, 0, b)
			conns = append(conns, a, b)
		}
		size := 2000
		if i%20 < 4 {
			size = 400_000 // moves to the bulk lane
		}
		echo := mustOpen2(t, near, "echo")
		mustEcho(t, echo, size)
		idle := mustOpen2(t, near, "source")
		if _, err := io.CopyN(io.Discard, idle, int64(size)); err != nil {
			t.Fatal(err)
		}
		near.SendPacket(make([]byte, 1000))
		switch i % 4 {
		case 0: // orderly
			_ = echo.Close()
			_ = idle.Close()
			near.Close(errDone)
		case 1: // with open streams
			far.Close(errDone)
		case 2: // the link breaks
			for _, c := range conns {
				_ = c.Close()
			}
		case 3: // lanes are replaced first
			a, b := tcpPair(t)
			_, _ = near.Attach(tunnel.LaneInteractive, 0, a)
			_, _ = far.Attach(tunnel.LaneInteractive, 0, b)
		}
		near.Close(errDone)
		far.Close(errDone)
		<-near.Done()
		<-far.Done()
		for _, s := range []*Session{near, far} {
			if st := s.Stats(); len(st.Lanes) != 0 || len(s.table.streams) != 0 {
				t.Fatalf("round %d left %+v", i, st)
			}
		}
		_ = echo.Close()
		_ = idle.Close()
		if st := near.Stats(); st.Streams != 0 || st.Promised != 0 {
			t.Fatalf("round %d left %+v", i, st)
		}
	}
	for i := range 50 {
		round(i)
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range rounds {
		round(i)
	}
	eventually(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	// 1 kB per round would be 1 MB.
	eventually(t, fmt.Sprintf("the heap to shrink to %d bytes", before), func() bool { return heap() < before+512<<10 })
}

func mustOpen2(t *testing.T, s *Session, address string) *stream {
	t.Helper()
	conn, err := s.Open(t.Context(), target(address))
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*stream)
}
