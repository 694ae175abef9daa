package mux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// attack gives the test the connection of a lane whose other end is a session
// that is not the initiator, as a server's is.
func attack(t testing.TB, class tunnel.Lane, cfg Config) (net.Conn, *Session, downs) {
	t.Helper()
	ended := newDowns()
	cfg.LaneDown = ended.note
	if cfg.Dial == nil {
		cfg.Dial = floods
	}
	s := New(false, cfg)
	a, b := tcpPair(t)
	// Little is under way in the kernel, so that floods are short.
	_ = b.(*net.TCPConn).SetWriteBuffer(4 << 10)
	if _, err := s.Attach(class, 0, b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); s.Close(errDone); <-s.Done() })
	return a, s, ended
}

func dataFrame(id uint32, n int) []byte {
	return append(appendHeader(nil, kindData, id, n), make([]byte, n)...)
}

func TestWhatNoEndSendsEndsTheLane(t *testing.T) {
	hello := slices.Clip(appendHello(nil, 1, tunnel.LaneInteractive, 0))
	open := appendOpen(nil, 1, 1<<10, target("mute"))
	for name, sent := range map[string][]byte{
		"no hello":             open,
		"hello of another":     appendHello(nil, 1, tunnel.LaneBulk, 0),
		"hello of lane 0":      appendHello(nil, 0, tunnel.LaneInteractive, 0),
		"hello of version 9":   append(appendHeader(nil, kindHello, 1, 3), 9, 1, 0),
		"second hello":         append(hello, hello...),
		"garbage":              append(hello, bytes.Repeat([]byte{0xa5}, 100)...),
		"HTTP":                 []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"zeros":                append(hello, make([]byte, 100)...),
		"huge frame":           append(hello, 0x13, 0xff, 0xff, 0xff, 0, 0, 0, 1),
		"too large for class":  append(append(hello, open...), dataFrame(1, maxInteractiveData+1)...),
		"huge open":            append(hello, appendHeader(nil, kindOpen, 1, 5000)...),
		"packet on it":         append(hello, append(appendHeader(nil, kindPacket, 0, 1), 0)...),
		"data without credit":  append(append(hello, open...), bytes.Repeat(dataFrame(1, 16000), 200)...),
		"data without stream":  append(hello, dataFrame(1, 10)...),
		"data, foreign stream": append(append(hello, open...), dataFrame(2, 10)...),
		"open twice":           append(append(hello, open...), open...),
		"open of our parity":   append(hello, appendOpen(nil, 2, 0, target("mute"))...),
		"open without address": append(hello, append(appendHeader(nil, kindOpen, 1, 8), 0, 0, 0, 0, 't', 'c', 'p', '/')...),
		"open of stream 0":     append(hello, appendOpen(nil, 0, 0, target("mute"))...),
		"credit overflow":      append(append(hello, open...), appendCredit(nil, 1, 1<<63)...),
		"credit to come":       append(hello, appendCredit(nil, 9, 10)...),
		"opened by opener":     append(append(hello, open...), appendOpened(nil, 1, 10)...),
		"move to itself, 0":    append(append(hello, open...), appendMove(nil, 1, 0)...),
		"short ping":           append(hello, append(appendHeader(nil, kindPing, 0, 4), 1, 2, 3, 4)...),
	} {
		t.Run(name, func(t *testing.T) {
			conn, s, ended := attack(t, tunnel.LaneInteractive, Config{})
			go func() { _, _ = conn.Write(sent) }()
			if got := ended.wait(t); !errors.Is(got.err, ErrProtocol) {
				t.Fatalf("got %v", got.err)
			}
			eventually(t, "its streams to end", func() bool { return s.Stats().Streams == 0 && s.Stats().Promised == 0 })
			if s.Err() != nil {
				t.Fatalf("the session ended: %v", s.Err())
			}
		})
	}
}

func TestAHalfWrittenFrameIsAnUnexpectedEnd(t *testing.T) {
	hello := slices.Clip(appendHello(nil, 1, tunnel.LaneInteractive, 0))
	open := appendOpen(nil, 1, 1<<10, target("mute"))
	for name, sent := range map[string][]byte{
		"header":      append(hello, 0x13, 0),
		"small frame": append(append(hello, open...), dataFrame(1, 100)[:50]...),
		"large frame": append(append(hello, open...), dataFrame(1, 10_000)[:9000]...),
		"unknown":     append(append(hello, open...), appendHeader(nil, 0x50, 0, 1000)...),
	} {
		t.Run(name, func(t *testing.T) {
			conn, _, ended := attack(t, tunnel.LaneInteractive, Config{})
			_, _ = conn.Write(sent)
			_ = conn.(*net.TCPConn).CloseWrite()
			if got := ended.wait(t); !errors.Is(got.err, io.ErrUnexpectedEOF) {
				t.Fatalf("got %v", got.err)
			}
		})
	}
}

func TestFramesOfTheFutureAreSkipped(t *testing.T) {
	conn, s, _ := attack(t, tunnel.LaneInteractive, Config{})
	sent := appendHello(nil, 1, tunnel.LaneInteractive, 0)
	for k := kindFutureFirst; k <= kindFutureLast; k++ {
		sent = append(appendHeader(sent, k, uint32(k), 5000), make([]byte, 5000)...)
	}
	sent = appendOpen(sent, 1, 1<<10, target("mute"))
	go func() { _, _ = conn.Write(sent) }()
	eventually(t, "the stream after them", func() bool { return s.Stats().Streams == 1 })
}

// TestAnEndThatOnlyAsksIsCutOff floods a session with what it must answer, and
// never reads an answer.
func TestAnEndThatOnlyAsksIsCutOff(t *testing.T) {
	for name, frames := range map[string]func(n uint32) []byte{
		"opens":  func(n uint32) []byte { return appendOpen(nil, 2*n+1, 0, target("nowhere")) },
		"floods": func(n uint32) []byte { return appendOpen(nil, 2*n+1, 1<<20, target("flood")) },
	} {
		t.Run(name, func(t *testing.T) {
			conn, s, ended := attack(t, tunnel.LaneInteractive, Config{MaxStreams: 100, Silence: time.Minute})
			go func() {
				_, err := conn.Write(appendHello(nil, 1, tunnel.LaneInteractive, 0))
				for n := uint32(0); err == nil; n++ {
					_, err = conn.Write(frames(n))
				}
			}()
			if got := ended.wait(t); !strings.Contains(got.err.Error(), "takes nothing") {
				t.Fatalf("got %v", got.err)
			}
			eventually(t, "its streams to end", func() bool { return s.Stats().Streams == 0 })
		})
	}
}

func TestPingsOfAnEndThatNeverReadsTakeNoMemory(t *testing.T) {
	conn, s, ended := attack(t, tunnel.LaneInteractive, Config{})
	_, _ = conn.Write(appendHello(nil, 1, tunnel.LaneInteractive, 0))
	pings := bytes.Repeat(appendPing(nil, ping{stamp: 1}), 1000)
	for range 200 {
		if _, err := conn.Write(pings); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	l := s.lanes[0]
	s.mu.Unlock()
	l.out.mu.Lock()
	pending := len(l.out.urgent) + len(l.out.normal)
	l.out.mu.Unlock()
	if pending > 1000 {
		t.Fatalf("%d bytes wait", pending)
	}
	ended.none(t, "after 200,000 pings")
}

func TestAnEndThatNeverReadsCostsNoMoreThanTheCap(t *testing.T) {
	const limit = 4 << 20
	conn, s, _ := attack(t, tunnel.LaneInteractive, Config{MaxBuffered: limit, MaxStreams: 200})
	before := heap()
	sent := appendHello(nil, 1, tunnel.LaneInteractive, 0)
	for n := range uint32(200) {
		sent = appendOpen(sent, 2*n+1, 0, target("mute"))
	}
	_, _ = conn.Write(sent)
	eventually(t, "the streams to open", func() bool { return s.Stats().Streams == 200 })
	promised := s.Stats().Promised
	if promised > limit {
		t.Fatalf("%d bytes are promised", promised)
	}
	// The other end uses up each byte that it was promised; nobody reads.
	s.mu.Lock()
	streams := s.table.all()
	s.mu.Unlock()
	for _, st := range streams {
		st.mu.Lock()
		left := int(st.limit)
		st.mu.Unlock()
		for left > 0 {
			n := min(left, 1000)
			if _, err := conn.Write(dataFrame(st.id, n)); err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	}
	eventually(t, "all of it to be read", func() bool { return s.Stats().Bytes[tunnel.LaneInteractive].In > int64(promised) })
	if got := int(heap()) - int(before); got > 3*limit {
		t.Fatalf("the heap grew by %d bytes, the cap is %d", got, limit)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestWindowsBeyondReasonStayThat(t *testing.T) {
	for _, sent := range []uint32{maxCredit + 1, 1 << 31, 1<<32 - 1} {
		if got := parseWindow(binary.BigEndian.AppendUint32(nil, sent)); got <= maxCredit {
			t.Errorf("a window of %d was read as %d", sent, got)
		}
	}
}

func TestFormsOfFrames(t *testing.T) {
	for name, bad := range map[string]struct {
		header
		class tunnel.Lane
	}{
		"unknown":                  {header{0x3f, 0, 0}, tunnel.LaneBulk},
		"after the future":         {header{0x80, 0, 0}, tunnel.LaneBulk},
		"huge, future":             {header{0x40, maxFuture + 1, 0}, tunnel.LaneBulk},
		"empty data":               {header{kindData, 0, 1}, tunnel.LaneBulk},
		"huge data":                {header{kindData, maxData + 1, 1}, tunnel.LaneBulk},
		"large data, interactive":  {header{kindData, maxInteractiveData + 1, 1}, tunnel.LaneInteractive},
		"data of no stream":        {header{kindData, 1, 0}, tunnel.LaneBulk},
		"data on relay":            {header{kindData, 1, 1}, tunnel.LaneRelay},
		"packet on bulk":           {header{kindPacket, 1, 0}, tunnel.LaneBulk},
		"packet of a stream":       {header{kindPacket, 1, 1}, tunnel.LaneRelay},
		"empty packet":             {header{kindPacket, 0, 0}, tunnel.LaneRelay},
		"huge packet":              {header{kindPacket, maxPacket + 1, 0}, tunnel.LaneRelay},
		"ping of a stream":         {header{kindPing, pingSize, 1}, tunnel.LaneBulk},
		"fin with something in it": {header{kindFin, 1, 1}, tunnel.LaneBulk},
		"end without code":         {header{kindEnd, 0, 1}, tunnel.LaneBulk},
		"end with a long text":     {header{kindEnd, maxReason + 2, 1}, tunnel.LaneBulk},
	} {
		if err := bad.check(bad.class); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, good := range map[string]struct {
		header
		class tunnel.Lane
	}{
		"data":         {header{kindData, maxData, 1}, tunnel.LaneBulk},
		"packet":       {header{kindPacket, maxPacket, 0}, tunnel.LaneRelay},
		"ping, relay":  {header{kindPing, pingSize, 0}, tunnel.LaneRelay},
		"hello":        {header{kindHello, maxHello, 7}, tunnel.LaneRelay},
		"of tomorrow":  {header{kindFutureFirst, maxFuture, 7}, tunnel.LaneRelay},
		"close, empty": {header{kindClose, 0, 0}, tunnel.LaneInteractive},
	} {
		if err := good.check(good.class); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := header{kindData, 0xabcdef, 0xfedcba98}
	if got := parseHeader(appendHeader(nil, h.kind, h.id, h.length)); got != h {
		t.Errorf("%+v became %+v", h, got)
	}
	p := ping{1, 2, 3}
	if got := parsePing(appendPing(nil, p)[headerSize:]); got != p {
		t.Errorf("%+v became %+v", p, got)
	}
	q := pong{1, 2}
	if got := parsePong(appendPong(nil, q)[headerSize:]); got != q {
		t.Errorf("%+v became %+v", q, got)
	}
	credit := appendCredit(nil, 5, 1<<40)
	if binary.BigEndian.Uint64(credit[headerSize:]) != 1<<40 {
		t.Errorf("credit %x", credit)
	}
}
