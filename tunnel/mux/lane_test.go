package mux

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

// downs collects the lanes that ended at one end.
type downs struct{ c chan down }

type down struct {
	lane *Lane
	err  error
}

func newDowns() downs                   { return downs{make(chan down, 100)} }
func (d downs) note(l *Lane, err error) { d.c <- down{l, err} }
func (d downs) wait(t *testing.T) down  { t.Helper(); return <-d.c }
func (d downs) none(t *testing.T, s string) {
	t.Helper()
	select {
	case got := <-d.c:
		t.Fatalf("%s: lane %s ended: %v", s, got.lane, got.err)
	default:
	}
}

// toBulk makes both directions of an echo stream move to a bulk lane.
func toBulk(t *testing.T, e *ends, conn *stream) {
	t.Helper()
	far := func() *stream {
		e.far.mu.Lock()
		defer e.far.mu.Unlock()
		return e.far.table.streams[conn.id]
	}()
	eventually(t, "the stream to move", func() bool {
		mustEcho(t, conn, 400_000)
		return conn.sendsOn() == tunnel.LaneBulk && far.sendsOn() == tunnel.LaneBulk
	})
}

func (st *stream) sendsOn() tunnel.Lane {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.out.class
}

func TestALaneThatDiesEndsOnlyItsStreams(t *testing.T) {
	nearDown, farDown := newDowns(), newDowns()
	e := interactive(t, Config{LaneDown: nearDown.note}, Config{LaneDown: farDown.note})
	bulk, _ := e.attach(tunnel.LaneBulk, 0)
	stays, dies := mustOpen(t, e.near, "echo"), mustOpen(t, e.near, "echo")
	toBulk(t, e, dies)
	_ = bulk.conn.Close()
	if got := nearDown.wait(t); got.lane != bulk {
		t.Fatalf("lane %s ended: %v", got.lane, got.err)
	}
	if _, err := io.ReadAll(dies); err == nil || !strings.Contains(err.Error(), "lane bulk/0 ended") {
		t.Fatalf("read: %v", err)
	}
	if _, err := dies.Write([]byte("x")); err == nil {
		t.Fatal("a write to a dead stream succeeds")
	}
	farDown.wait(t)
	eventually(t, "the far end to drop it", func() bool { return e.far.Stats().Streams == 1 })
	mustEcho(t, stays, 1<<20)
	// A new bulk lane serves again.
	e.attach(tunnel.LaneBulk, 0)
	toBulk(t, e, stays)
}

func TestTheInteractiveLaneDiesAndBulkStreamsGoOn(t *testing.T) {
	nearDown := newDowns()
	e := newEnds(t, Config{LaneDown: nearDown.note}, Config{})
	inter, _ := e.attach(tunnel.LaneInteractive, 0)
	e.attach(tunnel.LaneBulk, 0)
	stays, dies := mustOpen(t, e.near, "echo"), mustOpen(t, e.near, "mute")
	toBulk(t, e, stays)
	inter.Close(errDone)
	if got := nearDown.wait(t); got.lane != inter || !errors.Is(got.err, errDone) {
		t.Fatalf("lane %s ended: %v", got.lane, got.err)
	}
	if _, err := dies.Read(make([]byte, 1)); !errors.Is(err, errDone) {
		t.Fatalf("got %v", err)
	}
	mustEcho(t, stays, 4<<20)
	e.attach(tunnel.LaneInteractive, 0)
	mustEcho(t, mustOpen(t, e.near, "echo"), 1000)
	mustEcho(t, stays, 4<<20)
}

func TestCreditThatWasLostWithALaneIsRepeated(t *testing.T) {
	e := newEnds(t, Config{}, Config{})
	inter, _ := e.attach(tunnel.LaneInteractive, 0)
	e.attach(tunnel.LaneBulk, 0)
	conn := mustOpen(t, e.near, "source")
	if _, err := io.CopyN(io.Discard, conn, 4<<20); err != nil {
		t.Fatal(err)
	}
	far := e.far.table.all()[0]
	eventually(t, "the source to wait for credit", func() bool {
		far.mu.Lock()
		defer far.mu.Unlock()
		return far.sent == far.credit
	})
	// What the other end was promised does not come over.
	conn.mu.Lock()
	conn.out = e.near.routes.Load().bulk[0]
	conn.limit += 1 << 20
	conn.mu.Unlock()
	far.mu.Lock()
	far.inLane = conn.out.instance
	far.mu.Unlock()
	_ = inter.conn.Close()
	if _, err := io.CopyN(io.Discard, conn, 4<<20); err != nil {
		t.Fatal(err)
	}
}

func TestANewerLaneReplacesTheOlder(t *testing.T) {
	nearDown, farDown := newDowns(), newDowns()
	e := interactive(t, Config{LaneDown: nearDown.note}, Config{LaneDown: farDown.note})
	old := mustOpen(t, e.near, "echo")
	mustEcho(t, old, 100)
	e.attach(tunnel.LaneInteractive, 0)
	if got := nearDown.wait(t); !errors.Is(got.err, ErrReplaced) {
		t.Fatalf("got %v", got.err)
	}
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, ErrReplaced) {
		t.Fatalf("read: %v", err)
	}
	farDown.wait(t)
	mustEcho(t, mustOpen(t, e.near, "echo"), 100_000)
	eventually(t, "the old stream to end at the far end", func() bool { return e.far.Stats().Streams == 1 })
	nearDown.none(t, "after the replacement")
	farDown.none(t, "after the replacement")
}

func TestAttachRefusesWhatIsNoLane(t *testing.T) {
	e := newEnds(t, Config{}, Config{})
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := e.near.Attach(tunnel.LaneControl, 0, a); err == nil {
		t.Error("the control lane is taken")
	}
	for _, index := range []int{-1, 256} {
		if _, err := e.near.Attach(tunnel.LaneBulk, index, a); err == nil {
			t.Errorf("index %d is taken", index)
		}
	}
}

func TestStreamsAskForABulkLaneAndShareSeveral(t *testing.T) {
	var wanted atomic.Int64
	e := interactive(t, Config{WantLane: func(class tunnel.Lane) {
		if class == tunnel.LaneBulk {
			wanted.Add(1)
		}
	}}, Config{})
	conn := mustOpen(t, e.near, "echo")
	mustEcho(t, conn, 200_000)
	if wanted.Load() != 0 || conn.sendsOn() != tunnel.LaneInteractive {
		t.Fatal("a stream that sends little wants a bulk lane")
	}
	mustEcho(t, conn, 4<<20)
	if wanted.Load() == 0 {
		t.Fatal("a stream that sends much wants no bulk lane")
	}
	first, _ := e.attach(tunnel.LaneBulk, 0)
	second, _ := e.attach(tunnel.LaneBulk, 1)
	toBulk(t, e, conn)
	for range 3 {
		toBulk(t, e, mustOpen(t, e.near, "echo"))
	}
	if a, b := first.senders.Load(), second.senders.Load(); a != 2 || b != 2 {
		t.Fatalf("%d and %d streams send on the two lanes", a, b)
	}
}

func TestRetireMovesStreamsOffTheLane(t *testing.T) {
	nearDown, farDown := newDowns(), newDowns()
	e := interactive(t, Config{LaneDown: nearDown.note, Ping: 20e6}, Config{LaneDown: farDown.note, Ping: 20e6})
	bulk, _ := e.attach(tunnel.LaneBulk, 0)
	idle, busy := mustOpen(t, e.near, "echo"), mustOpen(t, e.near, "echo")
	toBulk(t, e, idle)
	toBulk(t, e, busy)
	bulk.Retire()
	for range 20 {
		mustEcho(t, busy, 400_000)
	}
	if got := nearDown.wait(t); got.lane != bulk || !errors.Is(got.err, ErrRetired) {
		t.Fatalf("lane %s ended: %v", got.lane, got.err)
	}
	if got := farDown.wait(t); got.lane.class != tunnel.LaneBulk || !errors.Is(got.err, ErrRetired) {
		t.Fatalf("lane %s ended: %v", got.lane, got.err)
	}
	mustEcho(t, idle, 1<<20)
	mustEcho(t, busy, 1<<20)
}

func TestStats(t *testing.T) {
	e := interactive(t, Config{}, Config{})
	e.attach(tunnel.LaneBulk, 1)
	e.attach(tunnel.LaneBulk, 0)
	mustEcho(t, mustOpen(t, e.near, "echo"), 100)
	for _, s := range []*Session{e.near, e.far} {
		st := s.Stats()
		if st.Streams != 1 || len(st.Lanes) != 3 || st.Promised == 0 {
			t.Fatalf("%+v", st)
		}
		if st.Lanes[0].Class != tunnel.LaneBulk || st.Lanes[0].Index != 0 || st.Lanes[1].Index != 1 {
			t.Fatalf("order of lanes: %+v", st.Lanes)
		}
		// What is written counts once the write has returned.
		eventually(t, "the count", func() bool { st = s.Stats(); return st.Lanes[2].Out >= 100 })
		l := st.Lanes[2]
		if l.Streams != 1 || l.In < 100 || l.Out < 100 || st.Bytes[tunnel.LaneInteractive] != l.Traffic || l.LastHeard.Before(l.Since) {
			t.Fatalf("%+v", st)
		}
	}
}
