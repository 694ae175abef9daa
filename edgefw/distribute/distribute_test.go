package distribute

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

func TestEachNodeGetsItsRuleset(t *testing.T) {
	f := newFleet(t, nil)
	one, two := rules("one", 0, 10), rules("two", 0, 10)
	a, b := f.join("a", nil, nil), f.join("b", nil, nil) // before Run, as a hub may
	f.set(one, "a")
	f.run()
	revision := f.apply(two, "b")
	c := f.join("c", nil, nil)
	f.apply(two, "b", "c")
	for n, want := range map[*fake]*model.Ruleset{a: one, b: two, c: two} {
		if n.root() != rootOf(t, want) {
			t.Errorf("node %s holds something else", n.name)
		}
	}
	s := f.state("b")
	if s.State != StateProven || !s.Connected || s.Applied != s.Wanted || s.Wanted > revision || s.Software != "test" || s.Took != time.Millisecond {
		t.Errorf("state %+v", s)
	}
	if n := len(b.got()); n != 1 {
		t.Errorf("b got %d updates, though its ruleset did not change", n)
	}
}

func TestANodeGetsOnlyWhatItLacks(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("a", nil, nil)
	f.apply(rules("r", 0, 20_000), "a")
	whole := n.received()
	f.apply(rules("r", 1, 20_000), "a")
	change := n.received() - whole
	last := n.got()[1]
	if len(last.Parts) != 1 || last.Parts[0].Kind != protocol.KindDelta || change > 500 {
		t.Errorf("one entry out and one in took %d bytes (the whole %d) and %d parts", change, whole, len(last.Parts))
	}
	f.apply(rules("s", 1, 20_000), "a")
	last = n.got()[2]
	if len(last.Parts) != 1 || last.Parts[0].Kind != protocol.KindHost {
		t.Errorf("one rule took %d parts", len(last.Parts))
	}
	f.apply(&model.Ruleset{}, "a")
	last = n.got()[3]
	if len(last.Drop) != 1 || len(last.Parts) != 1 || n.root() != rootOf(t, &model.Ruleset{}) {
		t.Errorf("no firewall at all took %+v", last)
	}
}

func TestTheFirstChangeIsCompiledAtOnceAndTheNextTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		f.run()
		n := f.join("a", nil, nil)
		<-time.After(time.Second)
		began := time.Now()
		for k := range 50 {
			f.set(rules("r", k, 3), "a")
			synctest.Wait()
			if k == 0 && (f.compiled() != 1 || n.root() != rootOf(t, rules("r", 0, 3))) {
				t.Errorf("after %v the node does not have the first change", time.Since(began))
			}
			<-time.After(time.Millisecond)
		}
		<-time.After(DefaultInterval)
		synctest.Wait()
		if f.compiled() != 2 || len(n.got()) != 2 || n.root() != rootOf(t, rules("r", 49, 3)) {
			t.Errorf("%d compilations, %d updates", f.compiled(), len(n.got()))
		}
		if s := f.state("a"); s.Latency > DefaultInterval || s.Latency < DefaultInterval/2 {
			t.Errorf("the second change was kicked when the first was done, and took %v", s.Latency)
		}
		f.stop()
	})
}

func TestASlowNodeGetsTheNewestOnly(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	go1 := make(chan struct{})
	n := f.join("slow", nil, func(n *fake) {
		n.handle = func(n *fake, conn net.Conn, u *protocol.Update) error {
			<-go1
			return n.take(conn, u)
		}
	})
	quick := f.join("quick", nil, nil)
	var last *model.Ruleset
	for k := range 20 {
		last = rules("r", k, 100)
		f.set(last, "slow", "quick")
		if _, err := f.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.await("the quick node", func() bool { return quick.root() == rootOf(t, last) })
	}
	if s := f.state("slow"); s.State != StatePending || s.Applied != 0 {
		t.Errorf("the slow node is %+v", s)
	}
	close(go1)
	f.await("the slow node", func() bool { return n.root() == rootOf(t, last) && f.state("slow").State == StateProven })
	got := n.got()
	if len(got) > inFlight+1 {
		t.Errorf("it got %d updates", len(got))
	}
	for k := 1; k < len(got); k++ {
		if got[k].Revision <= got[k-1].Revision {
			t.Errorf("revision %d after %d", got[k].Revision, got[k-1].Revision)
		}
	}
}

func TestABlockedNodeDelaysNobody(t *testing.T) {
	f := newFleet(t, func(c *Config) { c.progressTime = 200 * time.Millisecond })
	f.run()
	deaf := f.join("deaf", nil, func(n *fake) { n.deaf = true })
	n := f.join("a", nil, nil)
	for k := range 5 {
		rs := rules("r", k, 1000)
		f.set(rs, "deaf", "a")
		f.await("the other node", func() bool { return n.root() == rootOf(t, rs) })
	}
	f.await("another stream to the deaf one", func() bool { return deaf.dialled() > 1 })
	if s := f.state("deaf"); s.State != StatePending {
		t.Errorf("the deaf node is %+v", s)
	}
}

func TestANodeThatSaysNothingIsDialledAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		f.run()
		mute := f.join("mute", nil, func(n *fake) { n.mute = true })
		lost := f.join("lost", nil, func(n *fake) {
			n.handle = func(*fake, net.Conn, *protocol.Update) error { return nil }
		})
		f.set(rules("r", 0, 1), "mute", "lost")
		<-time.After(2 * (ackTime + backoffMax))
		synctest.Wait()
		if mute.dialled() < 3 || lost.dialled() < 2 {
			t.Errorf("dialled %d and %d times", mute.dialled(), lost.dialled())
		}
		if s := f.state("lost"); s.State != StatePending || s.Since.After(time.Now().Add(-ackTime)) {
			t.Errorf("state %+v", s)
		}
		f.stop()
	})
}

func TestAThinLineHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		f.run()
		n := f.join("thin", nil, func(n *fake) { n.rate = 2 * slowest })
		rs := random(60_000) // does not compress
		f.set(rs, "thin")
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if s := f.state("thin"); s.State != StateProven || n.dialled() != 1 || n.received() < 240_000 {
			t.Errorf("dialled %d times, %d bytes, %+v", n.dialled(), n.received(), s)
		}
		f.stop()
	})
}

func TestWhatIsInBuffersHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		f.run()
		n := f.join("thin", nil, func(n *fake) {
			n.handle = func(n *fake, conn net.Conn, u *protocol.Update) error {
				<-time.After(3 * ackTime) // until it has come out of them
				return n.take(conn, u)
			}
		})
		f.set(random(60_000), "thin")
		<-time.After(4 * ackTime)
		synctest.Wait()
		if s := f.state("thin"); s.State != StateProven || n.dialled() != 1 {
			t.Errorf("dialled %d times, %+v", n.dialled(), s)
		}
		f.stop()
	})
}

func TestWhatNodesSayIsTheirState(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	say := make(chan protocol.Ack)
	f.join("a", nil, func(n *fake) {
		n.handle = func(n *fake, conn net.Conn, u *protocol.Update) error {
			for ack := range say {
				if ack.Revision == 0 {
					ack.Revision = u.Revision
				}
				if err := protocol.WriteAck(conn, ack); err != nil || ack.State == protocol.StateProven || ack.State == protocol.StateRolledBack {
					return err
				}
			}
			return nil
		}
	})
	f.set(rules("r", 0, 1), "a")
	say <- protocol.Ack{State: protocol.StateApplied}
	f.await("applied", func() bool { s := f.state("a"); return s.State == StateApplied && s.Applied == 1 })
	say <- protocol.Ack{State: protocol.StateProven}
	f.await("proven", func() bool { return f.state("a").State == StateProven })
	f.set(rules("r", 1, 1), "a")
	say <- protocol.Ack{State: protocol.StateProven, Revision: 1} // late, about the one before
	f.await("pending", func() bool { s := f.state("a"); return s.State == StatePending && s.Wanted == 2 && s.Applied == 1 })
	f.set(rules("r", 2, 1), "a")
	say <- protocol.Ack{State: protocol.StateRolledBack, Enforced: 1, Reason: "no connection"}
	f.await("rolled back", func() bool {
		s := f.state("a")
		return s.State == StateRolledBack && s.Applied == 1 && s.Reason == "no connection"
	})
	if err := f.Await(t.Context(), []string{"a", "nobody"}, f.Revision()); err != nil {
		t.Error(err)
	}
	close(say)
}

func TestAwaitNamesWhoIsMissing(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	f.join("a", nil, nil)
	f.join("mute", nil, func(n *fake) { n.mute = true })
	f.set(rules("r", 0, 1), "a", "mute", "away")
	revision, err := f.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Await(t.Context(), []string{"a", "away"}, revision); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Await(ctx, nil, revision); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if s := f.state("away"); s.State != StatePending || s.Connected || s.Reason == "" {
		t.Errorf("state %+v", s)
	}
}

func TestANodeThatNoRulesetNamesGetsNothing(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("a", nil, nil)
	rs := rules("r", 0, 1)
	f.apply(rs, "a", "b")
	f.apply(nil, "a", "b") // deleted
	if len(n.got()) != 1 || n.root() != rootOf(t, rs) {
		t.Errorf("it got %d updates", len(n.got()))
	}
	states := f.States()
	if len(states) != 1 || states[0].Wanted != 0 {
		t.Errorf("states %+v", states)
	}
	f.Gone("a")
	if states := f.States(); len(states) != 0 {
		t.Errorf("states %+v", states)
	}
}

func TestANewerStreamReplacesTheOlder(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("a", nil, nil)
	f.apply(rules("r", 0, 1), "a")
	f.Connected("a")
	rs := rules("r", 1, 1)
	f.apply(rs, "a")
	if n.root() != rootOf(t, rs) || n.dialled() != 2 {
		t.Errorf("dialled %d times", n.dialled())
	}
}

func TestInputThatCannotBeHadIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		f.broken = errors.New("the cache is not filled")
		f.run()
		n := f.join("a", nil, nil)
		rs := rules("r", 0, 1)
		f.set(rs, "a")
		<-time.After(3 * retryCompile)
		f.mu.Lock()
		f.broken = nil
		f.mu.Unlock()
		<-time.After(2 * retryCompile)
		synctest.Wait()
		if n.root() != rootOf(t, rs) {
			t.Error("the node does not have its ruleset")
		}
		f.stop()
	})
}

func TestARulesetThatCannotBeSentLeavesTheFormer(t *testing.T) {
	f := newFleet(t, nil)
	f.run()
	n := f.join("a", nil, nil)
	rs := rules("r", 0, 2)
	f.apply(rs, "a")
	bad := rules("r", 0, 2)
	bad.Sets["set/a"].Prefixes[0] = bad.Sets["set/a"].Prefixes[1]
	f.apply(bad, "a")
	if n.root() != rootOf(t, rs) || len(n.got()) != 1 {
		t.Errorf("it got %d updates", len(n.got()))
	}
}

func TestEachCompilationIsTold(t *testing.T) {
	var told []uint64
	f := newFleet(t, func(c *Config) {
		c.Compiled = func(_ plan.Compiled, revision uint64) { told = append(told, revision) }
	})
	f.run()
	f.apply(rules("r", 0, 1), "a")
	f.apply(rules("r", 0, 1), "a")
	f.apply(rules("r", 1, 1), "a")
	f.stop()
	if len(told) < 3 || told[0] != 1 || told[len(told)-1] != 2 {
		t.Errorf("told of %v", told)
	}
}
