package brake

import (
	"math"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/tunnel"
)

// pair returns both ends of a connection over loopback.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestOnlyLanesThatLeaveTheMachineAreHeld(t *testing.T) {
	b := New()
	near, _ := pair(t)
	if got := b.Hold(tunnel.LaneBulk, near); got != near {
		t.Error("a connection over loopback is held")
	}
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	if got := b.Hold(tunnel.LaneBulk, pipe); got != pipe {
		t.Error("a connection without a socket is held")
	}
}

func TestOnlyBulkAndRelayLanesMakeItRun(t *testing.T) {
	for class, want := range map[tunnel.Lane]bool{
		tunnel.LaneInteractive: false, tunnel.LaneBulk: true, tunnel.LaneRelay: true,
	} {
		b := New()
		near, _ := pair(t)
		c := b.hold(class, near, near)
		if _, err := c.Write(make([]byte, large-1)); err != nil {
			t.Fatal(err)
		}
		if b.armed.Load() {
			t.Errorf("%s: it runs although nothing but heartbeats was sent", class)
		}
		if _, err := c.Write(make([]byte, large)); err != nil {
			t.Fatal(err)
		}
		if b.armed.Load() != want {
			t.Errorf("%s: it runs: %v, want %v", class, b.armed.Load(), want)
		}
	}
}

func TestItStopsWhenNothingIsSent(t *testing.T) {
	b := New()
	near, far := pair(t)
	c := b.hold(tunnel.LaneBulk, near, near)
	b.armed.Store(true)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	b.step()
	if b.armed.Load() {
		t.Error("it still runs although there is nothing to send")
	}
	_ = c.Close()
	if len(b.lanes) != 0 {
		t.Error("a closed lane is still held")
	}
}

func TestACapIsGivenToTheKernelAndTakenBack(t *testing.T) {
	near, _ := pair(t)
	l := New().hold(tunnel.LaneBulk, near, near).(*lane)
	for _, step := range []struct {
		cap  float64
		want uint64
	}{{1e6, 1e6}, {2e6, 2e6}, {0, math.MaxUint64}} {
		l.cap = step.cap
		l.limit()
		var got uint64
		var err error
		if ctlErr := l.socket.Control(func(fd uintptr) {
			got, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE)
		}); ctlErr != nil || err != nil {
			t.Fatal(ctlErr, err)
		}
		if got != step.want {
			t.Errorf("with a cap of %.0f the kernel has %d, want %d", step.cap, got, step.want)
		}
	}
}
