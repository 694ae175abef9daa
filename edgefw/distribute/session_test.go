package distribute

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/edgefw/protocol"
)

func TestANodeThatComesBackSaysWhatItHolds(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	rs := rules("r", 0, 5000)
	n := f.join("a", nil, nil)
	first := f.apply(rs, "a")
	f.Gone("a")
	n.cut()
	if s := f.state("a"); s.Connected || s.State != StateProven {
		t.Errorf("gone, it is %+v", s)
	}
	f.set(rules("r", 1, 5000), "a")
	f.await("pending", func() bool { return f.state("a").State == StatePending })
	before := n.received()
	f.Connected("a")
	f.await("the node to have it", func() bool { return f.state("a").State == StateProven })
	if got := n.received() - before; got > 500 {
		t.Errorf("coming back cost %d bytes", got)
	}

	// A server that knows less than the node goes on above what the node has.
	again := newFleet(t, nil)
	again.run()
	back := again.join("a", n.hold.Ruleset(), func(b *fake) { b.at = first + 100 })
	again.apply(n.hold.Ruleset(), "a")
	again.await("the newer revision", func() bool { s := again.state("a"); return s.State == StateProven && s.Applied > first+100 })
	for _, u := range back.got() {
		if len(u.Parts) != 0 || u.Revision <= first+100 {
			t.Errorf("it had everything and got %+v", u)
		}
	}
	changed := again.apply(rs, "a")
	if s := again.state("a"); changed <= first+100 || s.Applied != changed || back.root() != rootOf(t, rs) {
		t.Errorf("revision %d, state %+v", changed, s)
	}
}

func TestRevisionsGoOnAboveTheFormerOnes(t *testing.T) {
	f := newFleet(t, nil)
	f.Above(41)
	f.Above(7)
	f.run()
	f.join("a", nil, nil)
	if got := f.apply(rules("r", 0, 1), "a"); got != 42 {
		t.Errorf("the first revision is %d", got)
	}
	if got := f.apply(rules("r", 0, 1), "a"); got != 42 {
		t.Errorf("nothing changed, and the revision is %d", got)
	}
}

func TestANodeThatCannotPutAnUpdateTogetherGetsAllItLacks(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("a", nil, nil)
	f.apply(rules("r", 0, 1000), "a")
	n.mu.Lock()
	n.hold, _ = protocol.Hold(nil) // its memory is gone
	n.mu.Unlock()
	rs := rules("r", 1, 1000)
	f.apply(rs, "a")
	if n.root() != rootOf(t, rs) || n.dialled() != 1 || f.Figures().Resyncs != 1 {
		t.Errorf("dialled %d times, %+v", n.dialled(), f.Figures())
	}
}

func TestANodeThatAlwaysAsksAgainIsDialledAnew(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("a", nil, func(n *fake) {
		n.handle = func(n *fake, conn net.Conn, _ *protocol.Update) error { return n.hello(conn) }
	})
	f.set(rules("r", 0, 1), "a")
	f.await("another stream", func() bool { return n.dialled() > 2 })
	f.await("the reason", func() bool { return f.state("a").Reason == errResync.Error() })
}

func TestANodeCannotRaiseTheRevisionAtWill(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	f.join("liar", nil, func(n *fake) { n.at = 1 << 63 })
	f.join("a", nil, nil)
	f.set(rules("r", 0, 1), "liar", "a")
	f.await("the other node", func() bool { return f.state("a").State == StateProven })
	f.await("the reason", func() bool { return f.state("liar").Reason != "" })
	if f.Revision() > 10 {
		t.Errorf("revision %d", f.Revision())
	}
}

func TestANodeWithoutFirewallIsAskedOncePerLink(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("old", nil, func(n *fake) { n.refuse = errors.Join(errors.New("version 1"), ErrUnsupported) })
	f.set(rules("r", 0, 1), "old")
	f.await("unsupported", func() bool { return f.state("old").State == StateUnsupported })
	f.apply(rules("r", 1, 1), "old") // waits for nobody
	if s := f.state("old"); n.dialled() != 1 || s.State != StateUnsupported || s.Reason == "" {
		t.Errorf("dialled %d times, %+v", n.dialled(), s)
	}
	n.mu.Lock()
	n.refuse = nil // it was upgraded
	n.mu.Unlock()
	f.Connected("old")
	f.await("the upgraded node", func() bool { return f.state("old").State == StateProven })
}

func TestFailedDialsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		f.run()
		n := f.join("a", nil, func(n *fake) { n.refuse = errors.New("not just now") })
		f.set(rules("r", 0, 1), "a")
		<-time.After(time.Minute)
		if s := f.state("a"); s.Reason != "not just now" || n.dialled() < 4 || n.dialled() > 60 {
			t.Errorf("dialled %d times, %+v", n.dialled(), s)
		}
		n.mu.Lock()
		n.refuse = nil
		n.mu.Unlock()
		<-time.After(backoffMax + time.Second)
		synctest.Wait()
		if s := f.state("a"); s.State != StateProven || s.Reason != "" {
			t.Errorf("state %+v", s)
		}
		f.stop()
	})
}
