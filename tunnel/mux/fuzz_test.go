package mux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// fed is a connection that brings these bytes and takes everything.
type fed struct {
	nowhere
	r *bytes.Reader
}

func (f fed) Read(b []byte) (int, error) { return f.r.Read(b) }

// seeds are sessions as an end sends them, by what they show.
func seeds() map[string][]byte {
	hello := func(class tunnel.Lane) []byte { return appendHello(nil, 1, class, 0) }
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	end := tunnel.Ending{Code: tunnel.EndNormal}
	return map[string][]byte{
		"stream": cat(hello(tunnel.LaneInteractive), appendPing(nil, ping{1, 0, 0}),
			appendOpen(nil, 1, 1000, target("echo")), dataFrame(1, 10), appendCredit(nil, 1, 5000),
			appendHeader(nil, kindFin, 1, 0), appendEnding(nil, kindEnd, 1, end)),
		"moves": cat(hello(tunnel.LaneInteractive), appendOpen(nil, 1, 1000, target("sink")),
			dataFrame(1, 3), appendMove(nil, 1, 7), dataFrame(1, 3)),
		"bulk": cat(hello(tunnel.LaneBulk), appendOpen(nil, 3, 0, target("sink")), dataFrame(3, 9000),
			appendEnding(nil, kindAbort, 3, tunnel.Ending{Code: tunnel.EndAborted, Text: "why"}), dataFrame(3, 10)),
		"relay":   cat(hello(tunnel.LaneRelay), append(appendHeader(nil, kindPacket, 0, 3), 1, 2, 3)),
		"retire":  cat(hello(tunnel.LaneBulk), appendHeader(nil, kindRetire, 0, 0), appendClose(nil, "bye")),
		"answers": cat(appendOpened(nil, 1, 100), dataFrame(1, 5), appendPong(nil, pong{1, 1}), appendEnding(nil, kindRefused, 3, end)),
		"future":  cat(hello(tunnel.LaneInteractive), append(appendHeader(nil, 0x7f, 9, 2), 1, 2)),
	}
}

// FuzzLane feeds a lane of either end with bytes. It must end, give back all
// memory, and say that the protocol was violated or that the bytes ended.
func FuzzLane(f *testing.F) {
	for _, seed := range seeds() {
		for class := range byte(3) {
			f.Add(class, false, seed)
			f.Add(class, true, seed)
		}
	}
	f.Fuzz(func(t *testing.T, class byte, initiator bool, in []byte) {
		ended := newDowns()
		s := New(initiator, Config{MaxStreams: 10, MaxBuffered: 1 << 20, LaneDown: ended.note, Dial: tiny})
		defer func() { s.Close(errDone); <-s.Done() }()
		name := []tunnel.Lane{tunnel.LaneInteractive, tunnel.LaneBulk, tunnel.LaneRelay}[class%3]
		conn := fed{nowhere{closed: make(chan struct{})}, bytes.NewReader(in)}
		if initiator && name == tunnel.LaneInteractive {
			s.Attach(tunnel.LaneBulk, 9, nowhere{closed: make(chan struct{})})
		}
		l, err := s.Attach(name, 0, conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := ended.wait(t); got.lane != l || got.err == nil || errors.Is(got.err, errDone) {
			t.Fatalf("lane %s ended: %v", got.lane, got.err)
		}
		s.mu.Lock()
		for _, l := range s.lanes {
			l.fail(errDone)
		}
		s.mu.Unlock()
		s.Close(errDone)
		<-s.Done()
		if st := s.Stats(); st.Promised != 0 || st.Streams != 0 {
			t.Fatalf("left over: %+v", st)
		}
	})
}

// tiny dials what says a word and takes everything.
func tiny(context.Context, tunnel.Target) (net.Conn, error) {
	return fed{nowhere{closed: make(chan struct{})}, bytes.NewReader([]byte("word"))}, nil
}

// SetWriteDeadline is called when the other end of the stream closes.
func (f fed) SetWriteDeadline(time.Time) error { return nil }

func FuzzHeader(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(byte(0), seed[:headerSize])
		f.Add(byte(2), seed[:headerSize])
	}
	f.Fuzz(func(t *testing.T, class byte, in []byte) {
		if len(in) < headerSize {
			return
		}
		name := []tunnel.Lane{tunnel.LaneInteractive, tunnel.LaneBulk, tunnel.LaneRelay}[class%3]
		h := parseHeader(in)
		if got := appendHeader(nil, h.kind, h.id, h.length); !bytes.Equal(got, in[:headerSize]) {
			t.Fatalf("%x became %x", in[:headerSize], got)
		}
		put := make([]byte, headerSize)
		putHeader(put, h.kind, h.id, h.length)
		if !bytes.Equal(put, in[:headerSize]) {
			t.Fatalf("%x became %x", in[:headerSize], put)
		}
		if h.check(name) == nil && h.length > chunkSizes[len(chunkSizes)-1] {
			t.Fatalf("a frame of %d bytes is allowed", h.length)
		}
	})
}

func FuzzPayloads(f *testing.F) {
	f.Add([]byte{0})
	f.Add(bytes.Repeat([]byte{0xff}, pingSize))
	f.Add(append([]byte{byte(tunnel.EndDial)}, "connection refused\x00\x1b[31m"...))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 0 && len(p) <= 1+maxReason {
			e := tunnel.ParseEnding(p)
			// What cannot be printed is not kept, so the second reading counts.
			if got := tunnel.ParseEnding(appendEnding(nil, kindEnd, 1, e)[headerSize:]); got != e {
				t.Fatalf("%+v became %+v", e, got)
			}
			var refused *tunnel.RefusedError
			if err := e.Refusal(target("x")); !errors.As(err, &refused) || refused.Kind == "" {
				t.Fatalf("refusal %v", err)
			}
		}
		if len(p) >= pingSize {
			if got := appendPing(nil, parsePing(p))[headerSize:]; !bytes.Equal(got, p[:pingSize]) {
				t.Fatalf("%x became %x", p, got)
			}
		}
		if len(p) >= pongSize {
			if got := appendPong(nil, parsePong(p))[headerSize:]; !bytes.Equal(got, p[:pongSize]) {
				t.Fatalf("%x became %x", p, got)
			}
		}
		for _, r := range printable(p) {
			if r < ' ' || r > '~' {
				t.Fatalf("%q is not printable", printable(p))
			}
		}
		if len(p) >= windowSize {
			open := appendOpen(nil, 1, int(binary.BigEndian.Uint32(p)), target("echo"))
			if got := open[headerSize : headerSize+windowSize]; !bytes.Equal(got, p[:windowSize]) {
				t.Fatalf("%x became %x", p, got)
			}
		}
	})
}
