package mux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

// nowhere is a connection that takes everything and brings nothing.
type nowhere struct {
	net.Conn
	closed chan struct{}
}

func (n nowhere) Read([]byte) (int, error)    { <-n.closed; return 0, io.EOF }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }

func (n nowhere) Close() error {
	select {
	case <-n.closed:
	default:
		close(n.closed)
	}
	return nil
}

// mover plays the sending end of one stream, frame by frame.
type mover struct {
	s     *Session
	st    *stream
	lanes []*Lane
	queue [][]frameOn // frames under way, by lane
	sent  bytes.Buffer
}

type frameOn struct {
	header
	payload []byte
}

// newMover has a stream on the first of n lanes.
func newMover(t testing.TB, n int) *mover {
	t.Helper()
	m := &mover{s: New(true, Config{}), queue: make([][]frameOn, n)}
	t.Cleanup(func() {
		for _, l := range m.lanes {
			l.fail(errDone) // nobody is there to take the reason
		}
		m.s.Close(errDone)
		<-m.s.Done()
	})
	for i := range n {
		class := tunnel.LaneBulk
		if i == 0 {
			class = tunnel.LaneInteractive
		}
		l, err := m.s.Attach(class, i, nowhere{closed: make(chan struct{})})
		if err != nil {
			t.Fatal(err)
		}
		m.lanes = append(m.lanes, l)
	}
	st, _, err := m.s.tryBegin(target("peer"))
	if err != nil {
		t.Fatal(err)
	}
	m.st = st
	m.st.limit = 1 << 30
	return m
}

func (m *mover) send(lane int, k kind, payload []byte) {
	m.queue[lane] = append(m.queue[lane], frameOn{header{k, len(payload), m.st.id}, payload})
	if k == kindData {
		m.sent.Write(payload)
	}
}

func (m *mover) move(from, to int) {
	m.send(from, kindMove, binary.BigEndian.AppendUint32(nil, m.lanes[to].instance))
}

// deliver hands the first frame under way on a lane to the stream.
func (m *mover) deliver(lane int) error {
	f := m.queue[lane][0]
	m.queue[lane] = m.queue[lane][1:]
	l := m.lanes[lane]
	if f.kind != kindData {
		return m.s.takeFrame(l, f.header, f.payload)
	}
	if len(f.payload)%2 == 0 {
		return m.st.takeData(l, f.payload, nil)
	}
	c := newChunk(len(f.payload))
	c.end = copy(c.buf, f.payload)
	return m.st.takeData(l, nil, c)
}

// deliverAll delivers everything, taking the next lane from pick.
func (m *mover) deliverAll(pick func(n int) int) error {
	for {
		var waiting []int
		for lane, q := range m.queue {
			if len(q) > 0 {
				waiting = append(waiting, lane)
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		if err := m.deliver(waiting[pick(len(waiting))]); err != nil {
			return err
		}
	}
}

// script sends data and moves as the numbers say, ending with a fin.
func (m *mover) script(next func(n int) int) {
	lane := 0
	for range 3 + next(40) {
		if next(3) == 0 {
			if to := next(len(m.lanes)); to != lane {
				m.move(lane, to)
				lane = to
			}
			continue
		}
		p := make([]byte, 1+next(3000))
		for i := range p {
			p[i] = byte(next(256))
		}
		m.send(lane, kindData, p)
	}
	m.send(lane, kindFin, nil)
}

func (m *mover) check() error {
	got, err := io.ReadAll(m.st)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, m.sent.Bytes()) {
		return fmt.Errorf("read %d bytes that are not the %d that were sent", len(got), m.sent.Len())
	}
	if len(m.st.held) != 0 {
		return fmt.Errorf("%d entries are still held", len(m.st.held))
	}
	return nil
}

func TestMovesKeepTheOrderWhateverTheLanesDo(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMover(t, 1+int(seed%4))
		m.script(r.IntN)
		if err := m.deliverAll(r.IntN); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := m.check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func FuzzMoves(f *testing.F) {
	f.Add([]byte("a stream that goes from lane to lane"))
	f.Add([]byte{0, 1, 0, 2, 0, 1, 9, 9, 0, 0, 3, 3, 200, 1, 7, 40})
	f.Fuzz(func(t *testing.T, in []byte) {
		next := func(n int) int {
			if len(in) == 0 {
				return 0
			}
			v := int(in[0]) % n
			in = in[1:]
			return v
		}
		m := newMover(t, 4)
		m.script(next)
		err := m.deliverAll(next)
		if errors.Is(err, ErrProtocol) {
			return // moved too often ahead of its frames
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := m.check(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFramesOfALaneItHasNotMovedToWait(t *testing.T) {
	m := newMover(t, 2)
	m.send(0, kindData, []byte("one "))
	m.move(0, 1)
	m.send(1, kindData, []byte("two"))
	m.send(1, kindEnd, []byte{byte(tunnel.EndNormal)})
	for _, lane := range []int{1, 1} {
		if err := m.deliver(lane); err != nil {
			t.Fatal(err)
		}
	}
	if m.st.in.size != 0 || m.st.ended != nil {
		t.Fatal("frames of the new lane overtook those of the old one")
	}
	if err := m.deliverAll(func(int) int { return 0 }); err != nil {
		t.Fatal(err)
	}
	if err := m.check(); err != nil {
		t.Fatal(err)
	}
}

func TestHeldDataIsGivenBackWhenTheStreamCloses(t *testing.T) {
	m := newMover(t, 2)
	m.send(1, kindData, make([]byte, 3000))
	if err := m.deliver(1); err != nil {
		t.Fatal(err)
	}
	_ = m.st.Close()
	if m.st.held != nil || m.s.Stats().Promised != 0 {
		t.Fatalf("%d held, %d promised", len(m.st.held), m.s.Stats().Promised)
	}
}

func TestMoveToALaneThatEndedEndsTheStream(t *testing.T) {
	m := newMover(t, 2)
	m.lanes[1].fail(errDone)
	eventually(t, "the lane to end", func() bool { return len(m.s.Stats().Lanes) == 1 })
	m.move(0, 1)
	if err := m.deliver(0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.st.Read(make([]byte, 1)); !errors.Is(err, errLaneLost) {
		t.Fatalf("got %v", err)
	}
	if m.s.Stats().Streams != 1 || len(m.s.table.streams) != 0 {
		t.Fatal("the stream is still in the table")
	}
}

func TestMoveBeyondReasonIsAViolation(t *testing.T) {
	for name, send := range map[string]func(m *mover){
		"to a lane that never was": func(m *mover) { m.send(0, kindMove, []byte{0, 0, 0, 77}) },
		"to lane 0":                func(m *mover) { m.send(0, kindMove, []byte{0, 0, 0, 0}) },
		"too often": func(m *mover) {
			for range maxHeld + 1 {
				m.send(1, kindMove, []byte{0, 0, 0, 1})
			}
		},
		"data after fin":         func(m *mover) { m.send(0, kindFin, nil); m.send(0, kindData, []byte("x")) },
		"data after fin, moved":  func(m *mover) { m.send(1, kindData, []byte("x")); m.send(0, kindFin, nil); m.move(0, 1) },
		"fin after fin":          func(m *mover) { m.send(0, kindFin, nil); m.send(0, kindFin, nil) },
		"opened twice":           func(m *mover) { m.send(0, kindOpened, make([]byte, 4)); m.send(0, kindOpened, make([]byte, 4)) },
		"refused when opened":    func(m *mover) { m.send(0, kindOpened, make([]byte, 4)); m.send(0, kindRefused, []byte{1}) },
		"credit without measure": func(m *mover) { m.send(0, kindCredit, bytes.Repeat([]byte{0xff}, 8)) },
		"data without credit":    func(m *mover) { m.st.limit = 10; m.send(0, kindData, make([]byte, 11)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMover(t, 2)
			send(m)
			if err := m.deliverAll(func(n int) int { return n - 1 }); !errors.Is(err, ErrProtocol) {
				t.Fatalf("got %v", err)
			}
		})
	}
}
