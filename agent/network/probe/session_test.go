package probe

import (
	"bytes"
	"testing"
	"time"
)

// twoEnds are the sessions of two nodes and a link between them with a clock of
// its own.
type twoEnds struct {
	t          *testing.T
	now        time.Time
	a, b       *session
	keyA, keyB Key
	// pass tells whether a packet gets through.
	pass  func(fromA bool, b []byte) bool
	sent  int
	taken [][]byte // everything that a sent
}

const fullLength = 1472

func counter(start uint64) func() uint64 {
	return func() uint64 { start += 0x9e3779b97f4a7c15; return start }
}

func newKey(t testing.TB) Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func end(t testing.TB, own, peer Key, run uint64) *session {
	t.Helper()
	to, from, err := own.pair(peer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return newSession(to, from, run, fullLength, counter(run))
}

func newTwoEnds(t *testing.T) *twoEnds {
	e := &twoEnds{t: t, now: time.Unix(1e9, 0), keyA: newKey(t), keyB: newKey(t), pass: func(bool, []byte) bool { return true }}
	e.a, e.b = end(t, e.keyA, e.keyB, 1), end(t, e.keyB, e.keyA, 2)
	return e
}

func (e *twoEnds) carry(fromA bool, b []byte) {
	for b != nil {
		e.sent++
		if fromA {
			e.taken = append(e.taken, b)
		}
		if !e.pass(fromA, b) {
			return
		}
		to := e.a
		if fromA {
			to = e.b
		}
		answer := to.receive(e.now, b)
		if len(answer) > len(b) {
			e.t.Fatalf("an answer of %d bytes to %d", len(answer), len(b))
		}
		b, fromA = answer, !fromA
	}
}

// run lets time pass and returns when the wanted state was first reached by
// both ends.
func (e *twoEnds) run(d time.Duration, up bool) (after time.Duration, ok bool) {
	for passed := time.Duration(0); passed < d; passed += 10 * time.Millisecond {
		e.carry(true, e.a.due(e.now))
		e.carry(false, e.b.due(e.now))
		e.a.expire(e.now)
		e.b.expire(e.now)
		if !ok && e.a.up == up && e.b.up == up {
			after, ok = passed, true
		}
		e.now = e.now.Add(10 * time.Millisecond)
	}
	return after, ok
}

func TestPathIsProvenQuicklyAndGivenUpInTime(t *testing.T) {
	e := newTwoEnds(t)
	if after, ok := e.run(10*time.Second, true); !ok || after > 2*time.Second {
		t.Fatalf("proven: %v after %v", ok, after)
	}
	e.sent = 0
	e.run(time.Minute, true)
	if e.sent > 140 {
		t.Errorf("%d messages in a minute of a proven path", e.sent)
	}
	for _, direction := range []string{"both", "to b", "to a"} {
		e.pass = func(fromA bool, _ []byte) bool { return direction == "to b" && !fromA || direction == "to a" && fromA }
		if after, ok := e.run(10*time.Second, false); !ok || after > 5*time.Second {
			t.Errorf("%s lost: given up %v after %v", direction, ok, after)
		}
		e.pass = func(bool, []byte) bool { return true }
		if after, ok := e.run(time.Minute, true); !ok {
			t.Errorf("%s came back: not proven after %v", direction, after)
		}
	}
}

func TestPathThatDropsLongPacketsIsNotProven(t *testing.T) {
	e := newTwoEnds(t)
	e.pass = func(_ bool, b []byte) bool { return len(b) < fullLength }
	if after, ok := e.run(time.Minute, true); ok {
		t.Errorf("proven after %v", after)
	}
}

func TestFewLossesDoNotCostThePath(t *testing.T) {
	e := newTwoEnds(t)
	e.run(10*time.Second, true)
	n := 0
	e.pass = func(bool, []byte) bool { n++; return n%3 != 0 }
	if after, ok := e.run(2*time.Minute, false); ok {
		t.Errorf("given up after %v", after)
	}
}

func TestPeerThatIsNeverHeardCostsLittle(t *testing.T) {
	e := newTwoEnds(t)
	e.pass = func(bool, []byte) bool { return false }
	e.run(10*time.Minute, true)
	e.sent = 0
	e.run(10*time.Minute, true)
	if e.sent > 2*30 {
		t.Errorf("%d messages in 10 minutes to nobody", e.sent)
	}
	e.pass = func(bool, []byte) bool { return true }
	if _, ok := e.run(time.Minute, true); !ok {
		t.Error("not found when it came")
	}
}

func TestStrangersGetNoAnswer(t *testing.T) {
	e := newTwoEnds(t)
	stranger := newKey(t)
	b := end(t, stranger, e.keyA, 3).due(e.now)
	other := bytes.Clone(b)
	other[len(other)-1] ^= 1
	for name, packet := range map[string][]byte{
		"another key": b, "a changed byte": other, "nothing": nil, "noise": bytes.Repeat([]byte(magic), 100),
		"what this node sent itself": e.a.due(e.now),
	} {
		if answer := e.a.receive(e.now, packet); answer != nil {
			t.Errorf("%s was answered", name)
		}
	}
	if e.a.heard != 0 || e.a.up {
		t.Error("a stranger was taken for the peer")
	}
}

func TestMessagesThatArePlayedBackProveNothing(t *testing.T) {
	e := newTwoEnds(t)
	e.run(10*time.Second, true)
	e.pass = func(bool, []byte) bool { return false }
	recorded := e.taken
	e.run(10*time.Second, false)
	for range 100 {
		for _, b := range recorded {
			e.b.receive(e.now, b)
		}
		e.run(100*time.Millisecond, false)
	}
	if e.b.up {
		t.Error("the path was proven by old messages")
	}
	// Nor when the receiver has started anew and knows nothing.
	e.b = end(t, e.keyB, e.keyA, 4)
	answers := 0
	for range 100 {
		for _, b := range recorded {
			if e.b.receive(e.now, b) != nil {
				answers++
			}
		}
	}
	if e.b.up || e.b.heard != 0 || answers > 1 {
		t.Errorf("up %v, heard %x, %d answers at once", e.b.up, e.b.heard, answers)
	}
}

func TestMessageIsHeardOnce(t *testing.T) {
	e := newTwoEnds(t)
	e.run(10*time.Second, true)
	heard := e.b.heard
	for _, b := range e.taken {
		e.now = e.now.Add(answerAfter)
		if e.b.receive(e.now, b) != nil {
			t.Fatal("an old message was answered")
		}
		if e.b.heard != heard {
			t.Fatal("an old message was taken for the latest")
		}
	}
}

func TestAgentThatIsAwayKeepsItsPath(t *testing.T) {
	e := newTwoEnds(t)
	e.run(10*time.Second, true)
	e.pass = func(fromA bool, _ []byte) bool {
		if fromA {
			e.a.refused(e.now) // b's kernel: port unreachable
		}
		return false
	}
	for range 60 {
		e.run(time.Second, true)
		if !e.a.up {
			t.Fatal("given up although the peer's kernel answers")
		}
	}
	e.b = end(t, e.keyB, e.keyA, 5) // starts again
	e.b.adopt(e.now)
	e.pass = func(bool, []byte) bool { return true }
	if after, ok := e.run(time.Minute, false); ok || !e.a.up || !e.b.up {
		t.Errorf("given up after %v when the agent came back", after)
	}
	e.pass = func(bool, []byte) bool { return false }
	e.run(6*time.Second, false)
	if e.a.up || e.b.up {
		t.Error("not given up when the host went")
	}
	e.a.refused(e.now)
	e.run(time.Second, false)
	if e.a.up {
		t.Error("a kernel alone proved a path")
	}
}

func TestStartedAnewEachEndIsFoundAgain(t *testing.T) {
	e := newTwoEnds(t)
	e.run(10*time.Second, true)
	e.b = end(t, e.keyB, e.keyA, 6)
	if after, ok := e.run(10*time.Second, true); !ok || after > 3*time.Second {
		t.Errorf("found %v after %v", ok, after)
	}
}

func FuzzReceive(f *testing.F) {
	own, peer := newKey(f), newKey(f)
	a, b := end(f, own, peer, 1), end(f, peer, own, 2)
	now := time.Unix(1e9, 0)
	first := b.due(now)
	f.Add([]byte{})
	f.Add([]byte(magic))
	f.Add(first)
	f.Add(first[:HeaderLength])
	f.Add(make([]byte, MaxLength+1))
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := decode(packet, a.from)
		if err == nil && !bytes.Equal(encode(m, a.from)[:HeaderLength], packet[:HeaderLength]) && len(packet) == HeaderLength {
			t.Errorf("%x became %+v", packet, m)
		}
		if answer := a.receive(now, packet); len(answer) > len(packet) {
			t.Errorf("%d bytes answered by %d", len(packet), len(answer))
		}
	})
}
