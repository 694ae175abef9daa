package mux

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// interactive is a session with one interactive lane.
func interactive(t testing.TB, near, far Config) *ends {
	t.Helper()
	e := newEnds(t, near, far)
	e.attach(tunnel.LaneInteractive, 0)
	return e
}

// eventually waits for what other goroutines do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestRefusalsEndOneDialOnly(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	conn := mustOpen(t, e.near, "echo")
	for address, want := range map[string]tunnel.Refusal{"forbidden": tunnel.RefusedAccess, "nowhere": tunnel.RefusedDial} {
		_, err := e.near.Open(t.Context(), target(address))
		var refused *tunnel.RefusedError
		if !errors.As(err, &refused) || refused.Kind != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	mustEcho(t, conn, 1000)
	_ = conn.Close()
	for _, s := range []*Session{e.near, e.far} {
		eventually(t, "the streams to end", func() bool { return s.Stats().Streams == 0 && s.budget.total() == 0 })
	}
}

func TestAnEndWithoutDialRefuses(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	_, err := e.far.Open(t.Context(), target("echo"))
	var refused *tunnel.RefusedError
	if !errors.As(err, &refused) || refused.Kind != tunnel.RefusedAccess {
		t.Fatalf("got %v", err)
	}
}

func TestTheLimitOfStreamsHoldsOnBothEnds(t *testing.T) {
	for _, limited := range []string{"near", "far"} {
		near, far := Config{}, Config{}
		if limited == "near" {
			near.MaxStreams = 3
		} else {
			far.MaxStreams = 3
		}
		e := interactive(t, near, far)
		var last net.Conn
		for range 3 {
			last = mustOpen(t, e.near, "echo")
		}
		_, err := e.near.Open(t.Context(), target("echo"))
		var refused *tunnel.RefusedError
		if !errors.As(err, &refused) || refused.Kind != tunnel.RefusedOverload {
			t.Fatalf("%s: %v", limited, err)
		}
		_ = last.Close()
		eventually(t, "room for a stream", func() bool { return e.far.Stats().Streams == 2 && e.near.Stats().Streams == 2 })
		mustEcho(t, mustOpen(t, e.near, "echo"), 100)
	}
}

func TestADialThatTakesTooLongIsGivenUpOnBothEnds(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.near.Open(ctx, target("slow")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	eventually(t, "the dial to end", func() bool { return e.far.Stats().Streams == 0 && e.near.Stats().Streams == 0 })
}

func TestOpenWaitsForALane(t *testing.T) {
	wanted := make(chan tunnel.Lane, 10)
	e := newEnds(t, Config{WantLane: func(l tunnel.Lane) { wanted <- l }}, Config{})
	go func() {
		if class := <-wanted; class != tunnel.LaneInteractive {
			t.Errorf("wanted %s", class)
		}
		e.attach(tunnel.LaneInteractive, 0)
	}()
	mustEcho(t, mustOpen(t, e.near, "echo"), 10)
	none := newEnds(t, Config{DialTimeout: 10 * time.Millisecond}, Config{})
	if _, err := none.near.Open(t.Context(), target("echo")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	conn := mustOpen(t, e.near, "mute")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("read: %v", err)
	}
	// What waits for the target then ends with the session, and not after the
	// time that targets have for what was sent before a stream was closed.
	defer e.close()
	// More than the credit: the rest waits until the deadline ends that.
	sent := func() int64 { return e.near.Stats().Lanes[0].Out }
	before := sent()
	type result struct {
		n   int
		err error
	}
	written := make(chan result, 1)
	go func() {
		n, err := conn.Write(make([]byte, 4<<20))
		written <- result{n, err}
	}()
	eventually(t, "the first bytes to go", func() bool { return sent() > before+1<<10 })
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
	if w := <-written; !errors.Is(w.err, os.ErrDeadlineExceeded) || w.n == 0 {
		t.Fatalf("write of %d: %v", w.n, w.err)
	}
	// A deadline that is set while somebody waits interrupts him.
	for name, wait := range map[string]func() error{
		"read":  func() error { _, err := conn.Read(make([]byte, 1)); return err },
		"write": func() error { _, err := conn.Write(make([]byte, 1)); return err },
	} {
		_ = conn.SetDeadline(time.Time{})
		errs := make(chan error, 1)
		go func() { errs <- wait() }()
		_ = conn.SetDeadline(time.Unix(1, 0))
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestHalfClose(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	conn := mustOpen(t, e.near, "echo")
	_, _ = io.WriteString(conn, "hello")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write after CloseWrite: %v", err)
	}
}

func TestTargetThatCloses(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	conn := mustOpen(t, e.near, "bye")
	if got, err := io.ReadAll(conn); string(got) != "bye" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
}

// raw is a target that hands its connection to the test.
func raw(conns chan<- net.Conn) tunnel.DialFunc {
	return func(context.Context, tunnel.Target) (net.Conn, error) {
		a, b := net.Pipe()
		conns <- b
		return a, nil
	}
}

func TestClosingEndsTheTargetAndItsWrites(t *testing.T) {
	conns := make(chan net.Conn, 1)
	e := interactive(t, Config{}, Config{Dial: raw(conns)})
	conn := mustOpen(t, e.near, "raw")
	far := <-conns
	go func() { _, _ = conn.Write([]byte("last words")); _ = conn.Close() }()
	if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := far.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("got %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("read: %v", err)
	}
	if _, err := conn.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write: %v", err)
	}
	if err := conn.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("deadline: %v", err)
	}
}

// failing is a connection that breaks after its first bytes.
type failing struct {
	net.Conn
	r io.Reader
}

func (f failing) Read(b []byte) (int, error) { return f.r.Read(b) }

func TestTargetThatFailsResetsTheStreamAfterItsData(t *testing.T) {
	e := interactive(t, Config{}, Config{Dial: func(context.Context, tunnel.Target) (net.Conn, error) {
		a, b := net.Pipe()
		_ = b.Close()
		return failing{a, io.MultiReader(strings.NewReader("some"), errReader{})}, nil
	}})
	conn := mustOpen(t, e.near, "any")
	got, err := io.ReadAll(conn)
	if string(got) != "some" || !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), "disk on fire") {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("write: %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestSessionCloseTellsEverybodyWhy(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	conn := mustOpen(t, e.near, "mute")
	read := make(chan error, 1)
	go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
	opened := make(chan error, 1)
	go func() { _, err := e.near.Open(context.Background(), target("slow")); opened <- err }()
	eventually(t, "the dial to come", func() bool { return e.far.Stats().Streams == 2 })
	e.near.Close(errDone)
	for name, errs := range map[string]chan error{"read": read, "open": opened} {
		if err := <-errs; !errors.Is(err, tunnel.ErrSessionClosed) || !errors.Is(err, errDone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.near.Open(t.Context(), target("echo")); !errors.Is(err, tunnel.ErrSessionClosed) {
		t.Errorf("open: %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := e.near.Attach(tunnel.LaneBulk, 0, a); !errors.Is(err, tunnel.ErrSessionClosed) {
		t.Errorf("attach: %v", err)
	}
	<-e.near.Done()
	// The other end's session goes on; its streams of this lane have ended.
	eventually(t, "the other end's streams to end", func() bool { return e.far.Stats().Streams == 0 })
	if e.far.Err() != nil || e.near.Err() == nil {
		t.Errorf("%v, %v", e.near.Err(), e.far.Err())
	}
}
