package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDone = errors.New("the test is over")

// ends are the two ends of a session.
type ends struct {
	t    testing.TB
	near *Session // the initiator, as the node is
	far  *Session
}

// newEnds makes a session whose far end dials with the targets below.
func newEnds(t testing.TB, near, far Config) *ends {
	t.Helper()
	if far.Dial == nil {
		far.Dial = dialTest
	}
	e := &ends{t: t, near: New(true, near), far: New(false, far)}
	t.Cleanup(e.close)
	return e
}

func (e *ends) close() {
	for _, s := range []*Session{e.near, e.far} {
		s.Close(errDone)
	}
	for _, s := range []*Session{e.near, e.far} {
		<-s.Done()
	}
}

// attach adds a lane over loopback TCP and returns its two ends.
func (e *ends) attach(class tunnel.Lane, index int) (near, far *Lane) {
	e.t.Helper()
	a, b := tcpPair(e.t)
	return e.attachOver(class, index, a, b)
}

func (e *ends) attachOver(class tunnel.Lane, index int, a, b net.Conn) (near, far *Lane) {
	e.t.Helper()
	near, err := e.near.Attach(class, index, a)
	if err != nil {
		e.t.Fatal(err)
	}
	far, err = e.far.Attach(class, index, b)
	if err != nil {
		e.t.Fatal(err)
	}
	return near, far
}

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func target(address string) tunnel.Target {
	return tunnel.Target{Network: tunnel.NetworkInternal, Address: address}
}

// half is the end of a pipe that can be half closed.
type half struct {
	net.Conn
	r *io.PipeReader
	w *io.PipeWriter
}

func (h half) Read(b []byte) (int, error)  { return h.r.Read(b) }
func (h half) Write(b []byte) (int, error) { return h.w.Write(b) }
func (h half) CloseWrite() error           { return h.w.Close() }
func (h half) Close() error                { _ = h.r.Close(); return h.w.Close() }
func (h half) SetWriteDeadline(time.Time) error {
	return nil
}

// dialTest has the targets of tests.
func dialTest(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	user, own := half{r: outR, w: inW}, half{r: inR, w: outW}
	switch t.Address {
	case "echo":
		go func() {
			_, err := io.Copy(own, own.r)
			_ = outW.CloseWithError(err)
		}()
	case "sink":
		go func() { _, _ = io.Copy(io.Discard, own.r); _ = outW.Close() }()
	case "bye":
		go func() { _, _ = io.WriteString(own, "bye"); _ = own.Close() }()
	case "mute": // neither reads nor writes
	case "source":
		go func() {
			for buf := make([]byte, 64<<10); ; {
				if _, err := own.Write(buf); err != nil {
					return
				}
			}
		}()
	case "slow": // answers when the other end has given up
		<-ctx.Done()
		return nil, ctx.Err()
	case "forbidden":
		return nil, &tunnel.RefusedError{What: "dial", Kind: tunnel.RefusedAccess, Reason: "not yours"}
	default:
		return nil, fmt.Errorf("no target %q", t.Address)
	}
	return user, nil
}

func mustOpen(t testing.TB, s *Session, address string) *stream {
	t.Helper()
	conn, err := s.Open(context.Background(), target(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*stream)
}

func mustEcho(t testing.TB, conn net.Conn, size int) {
	t.Helper()
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * 7)
	}
	errs := make(chan error, 1)
	go func() {
		_, err := conn.Write(want)
		errs <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatal("what came back is not what was sent")
	}
}

func TestEcho(t *testing.T) {
	e := newEnds(t, Config{}, Config{})
	e.attach(tunnel.LaneInteractive, 0)
	conn := mustOpen(t, e.near, "echo")
	for _, size := range []int{1, 100, 5000, 100_000, 3_000_000} {
		mustEcho(t, conn, size)
	}
}

func TestEchoOverABulkLane(t *testing.T) {
	e := newEnds(t, Config{}, Config{})
	e.attach(tunnel.LaneInteractive, 0)
	e.attach(tunnel.LaneBulk, 0)
	conn := mustOpen(t, e.near, "echo")
	for _, size := range []int{1, 100, 5000, 100_000, 3_000_000} {
		mustEcho(t, conn, size)
	}
	for _, s := range []*Session{e.near, e.far} {
		if b := s.Stats().Bytes[tunnel.LaneBulk]; b.In < 1<<20 || b.Out < 1<<20 {
			t.Errorf("bulk lane carried %+v", b)
		}
	}
}
