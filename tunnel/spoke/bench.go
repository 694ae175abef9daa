package spoke

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

const (
	// maxBench is how many streams of measurements a node serves at a time.
	maxBench = 32
	// benchTime ends a measurement that somebody forgot.
	benchTime = 10 * time.Minute
)

// bench serves a measurement: echo, sink or source.
func (s *Spoke) bench(t tunnel.Target) (net.Conn, error) {
	if s.benches.Add(1) > maxBench {
		s.benches.Add(-1)
		return nil, &tunnel.RefusedError{
			What: "dial " + t.String(), Kind: tunnel.RefusedOverload, Reason: "too many measurements at a time",
		}
	}
	var conn net.Conn
	switch t {
	case tunnel.TargetEcho:
		conn = newEcho()
	case tunnel.TargetSink:
		conn = newSink(&sink{})
	default:
		conn = newSink(source{})
	}
	b := &benchConn{Conn: conn, ended: func() { s.benches.Add(-1) }}
	b.timer = time.AfterFunc(benchTime, func() { _ = conn.Close() })
	return b, nil
}

// benchConn counts and bounds a measurement.
type benchConn struct {
	net.Conn
	timer *time.Timer
	once  sync.Once
	ended func()
}

// Close implements net.Conn.
func (b *benchConn) Close() error {
	b.once.Do(func() {
		b.timer.Stop()
		b.ended()
	})
	return b.Conn.Close()
}

// CloseWrite says that the server sends no more.
func (b *benchConn) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// newEcho returns a connection that gives back what it gets.
func newEcho() net.Conn {
	theirs, ours := net.Pipe()
	go func() {
		_, _ = io.Copy(ours, ours)
		_ = ours.Close()
	}()
	return theirs
}

// counterpart is the far side of a measurement that has no echo.
type counterpart interface {
	io.Writer
	// read fills b; half is closed when the server sends no more, over when the
	// stream is.
	read(b []byte, half, over <-chan struct{}) (int, error)
}

// benchEnd makes a connection of a counterpart.
type benchEnd struct {
	counterpart
	halfOnce, overOnce sync.Once
	half, over         chan struct{}
}

func newSink(c counterpart) *benchEnd {
	return &benchEnd{counterpart: c, half: make(chan struct{}), over: make(chan struct{})}
}

// Read implements net.Conn.
func (e *benchEnd) Read(b []byte) (int, error) {
	select {
	case <-e.over:
		return 0, os.ErrClosed
	default:
		return e.read(b, e.half, e.over)
	}
}

// CloseWrite says that no more will be written.
func (e *benchEnd) CloseWrite() error {
	e.halfOnce.Do(func() { close(e.half) })
	return nil
}

// Close implements net.Conn.
func (e *benchEnd) Close() error {
	e.overOnce.Do(func() { close(e.over) })
	return nil
}

// Nothing waits here but Read, which Close ends.
func (e *benchEnd) LocalAddr() net.Addr              { return &net.IPAddr{} }
func (e *benchEnd) RemoteAddr() net.Addr             { return &net.IPAddr{} }
func (e *benchEnd) SetDeadline(time.Time) error      { return nil }
func (e *benchEnd) SetReadDeadline(time.Time) error  { return nil }
func (e *benchEnd) SetWriteDeadline(time.Time) error { return nil }

// sink throws away what it gets. When the server sends no more it answers with
// the number of bytes (eight, big endian) and ends.
type sink struct {
	got    atomic.Uint64
	answer []byte
	told   bool
}

// Write implements io.Writer.
func (k *sink) Write(b []byte) (int, error) {
	k.got.Add(uint64(len(b)))
	return len(b), nil
}

func (k *sink) read(b []byte, half, over <-chan struct{}) (int, error) {
	if !k.told {
		select {
		case <-half:
		case <-over:
			return 0, os.ErrClosed
		}
		k.told, k.answer = true, binary.BigEndian.AppendUint64(nil, k.got.Load())
	}
	if len(k.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(b, k.answer)
	k.answer = k.answer[n:]
	return n, nil
}

// source sends zeroes until the stream is closed.
type source struct{}

// Write implements io.Writer.
func (source) Write(b []byte) (int, error) { return len(b), nil }

func (source) read(b []byte, _, _ <-chan struct{}) (int, error) {
	clear(b)
	return len(b), nil
}
