package mux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

// reset is a target that has sent something and then resets whatever it gets:
// its bytes can still be read, until the connection is closed.
type reset struct {
	net.Conn // a pipe, for deadlines
	sent     *bytes.Reader
	written  chan struct{} // closed by the first Write
	closed   chan struct{}
	once     [2]sync.Once
}

func (r *reset) Read(b []byte) (int, error) {
	<-r.written
	select {
	case <-r.closed:
		return 0, net.ErrClosed
	default:
		return r.sent.Read(b)
	}
}

func (r *reset) Write([]byte) (int, error) {
	r.once[0].Do(func() { close(r.written) })
	return 0, syscall.EPIPE
}

func (r *reset) Close() error {
	r.once[1].Do(func() { close(r.closed) })
	return r.Conn.Close()
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func TestWhatATargetSentBeforeItTookNoMoreArrives(t *testing.T) {
	want := pattern(3 << 20)
	e := interactive(t, Config{}, Config{Dial: func(context.Context, tunnel.Target) (net.Conn, error) {
		a, b := net.Pipe()
		_ = b.Close()
		return &reset{Conn: a, sent: bytes.NewReader(want), written: make(chan struct{}), closed: make(chan struct{})}, nil
	}})
	conn := mustOpen(t, e.near, "any")
	if _, err := conn.Write([]byte("heartbeat")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); !bytes.Equal(got, want) || err != nil {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

// gate is a connection that brings nothing while mu is locked.
type gate struct {
	net.Conn
	mu *sync.RWMutex
}

func (g gate) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.mu.RLock()
	defer g.mu.RUnlock()
	return n, err
}

// TestTheLastBytesOfAnEndThatClosesAtOnceArrive closes while the line carries
// nothing, and lets it carry again when the end has closed.
func TestTheLastBytesOfAnEndThatClosesAtOnceArrive(t *testing.T) {
	for _, bulk := range []bool{false, true} {
		for _, fromTarget := range []bool{false, true} {
			for _, half := range []bool{false, true} {
				t.Run(fmt.Sprintf("bulk %v, from the target %v, half %v", bulk, fromTarget, half), func(t *testing.T) {
					lastBytes(t, bulk, fromTarget, half)
				})
			}
		}
	}
}

func lastBytes(t *testing.T, bulk, fromTarget, half bool) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	e := newEnds(t, Config{}, Config{Dial: func(context.Context, tunnel.Target) (net.Conn, error) {
		a, b := tcpPair(t)
		conns <- b
		return a, nil
	}})
	var line sync.RWMutex
	attach := func(class tunnel.Lane) {
		a, b := tcpPair(t)
		e.attachOver(class, 0, gate{a, &line}, gate{b, &line})
	}
	attach(tunnel.LaneInteractive)
	stream := mustOpen(t, e.near, "any")
	target := <-conns
	defer target.Close()
	var from, to net.Conn = stream, target
	if fromTarget {
		from, to = target, stream
	}
	// More than a direction sends before it moves, if there is a lane to move to.
	earlier := pattern(moveAfter + 64<<10)
	go func() { _, _ = from.Write(earlier) }()
	if _, err := io.ReadFull(to, make([]byte, len(earlier))); err != nil {
		t.Fatal(err)
	}
	if bulk {
		attach(tunnel.LaneBulk)
		eventually(t, "both ends to know the lane", func() bool {
			return e.near.routes.Load().leastLoaded() != nil && e.far.routes.Load().leastLoaded() != nil
		})
	}
	want := pattern(48 << 10) // fits into the line while nobody takes it
	line.Lock()
	_, err := from.Write(want)
	if half {
		err = errors.Join(err, from.(interface{ CloseWrite() error }).CloseWrite())
	} else {
		err = errors.Join(err, from.Close())
	}
	line.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(to); !bytes.Equal(got, want) || err != nil {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if b := e.near.Stats().Bytes[tunnel.LaneBulk]; bulk && b.In+b.Out < int64(len(want)) {
		t.Errorf("the bulk lane carried %+v", b)
	}
}
