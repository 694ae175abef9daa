package edgefw

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

func TestAnUpdateThatCannotBeReadLeavesTheRules(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("good", nil))
		after(2 * proofGap)
		u := protocol.Update{Revision: 2, Parts: []protocol.Part{{Kind: protocol.KindHost, Body: []byte(`{"ingress":{"unknown":1}}`)}}}
		data, err := protocol.AppendUpdate(nil, u)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.conn.Write(data); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		if a := s.last(); a.State != protocol.StateFailed || a.Revision != 2 || a.Enforced != 2 && a.Enforced != 1 || w.kernel.hostOf() != "good" {
			t.Errorf("the kernel has %q, acknowledged as %+v", w.kernel.hostOf(), a)
		}
	})
}

func TestWhatTheNodeDoesNotHoldIsAskedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		data, err := protocol.AppendUpdate(nil, protocol.Update{Revision: 2, Root: protocol.Hash{1}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.conn.Write(data); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		if len(s.hellos) != 2 {
			t.Errorf("the node said hello %d times, want again", len(s.hellos))
		}
		s.send(3, rules("good", nil))
		after(2 * proofGap)
		if a := s.last(); a.State != protocol.StateProven || a.Revision != 3 {
			t.Errorf("acknowledged as %+v", a)
		}
	})
}

func TestAKernelThatRefusesIsAskedAgainAndReported(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("good", nil))
		after(2 * proofGap)
		w.kernel.refuse(errors.New("no space left on device"))
		s.send(2, rules("next", nil))
		after(time.Minute)
		if a := s.last(); a.State != protocol.StateFailed || a.Revision != 2 || a.Enforced != 1 {
			t.Errorf("acknowledged as %+v", a)
		}
		if got := fmt.Sprint(w.told()); got != "[FirewallFailed]" {
			t.Errorf("people were told %s in a minute", got)
		}
		w.kernel.refuse(nil)
		after(2 * lookAfter)
		if a := s.last(); a.State != protocol.StateProven || a.Revision != 2 {
			t.Errorf("acknowledged as %+v", a)
		}
		if got := fmt.Sprint(w.told()); got != "[FirewallFailed FirewallEnforced]" {
			t.Errorf("people were told %s", got)
		}
	})
}

func TestAKernelThatRefusesIsNotAskedWithoutAPause(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		asked := 0
		w.kernel.reject = func(apply.Wish) bool { asked++; return asked > 3 }
		s.send(1, rules("one", nil)) // a proof and a write are due from now on
		after(5 * time.Minute)
		if asked > 200 {
			t.Errorf("the kernel was asked %d times in five minutes", asked)
		}
	})
}

func TestTheNewestStreamCounts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		first := w.connect()
		second := w.connect()
		defer second.end()
		if _, err := first.conn.Write([]byte{0}); err == nil {
			t.Error("the former stream is still open")
		}
		first.end()
		second.send(1, rules("good", nil))
		after(2 * proofGap)
		if a := second.last(); a.State != protocol.StateProven {
			t.Errorf("acknowledged as %+v", a)
		}
	})
}

func TestNamesAreLookedUpAgainAndOldAddressesStayForAWhile(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		answer := func(addrs ...string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.lookup = func(string) ([]netip.Addr, error) {
				var out []netip.Addr
				for _, a := range addrs {
					out = append(out, netip.MustParseAddr(a))
				}
				return out, nil
			}
		}
		inForce := func() string { return fmt.Sprint(w.kernel.now().Local.Names["a.example"]) }
		answer("192.0.2.1")
		s := w.connect()
		s.send(1, rules("one", map[model.SetID]model.Set{"dns/a.example": {Name: "a.example"}}))
		after(time.Second)
		if got := inForce(); got != "[192.0.2.1]" {
			t.Fatalf("a second later: %s", got)
		}
		answer("192.0.2.2")
		after(2 * namesEvery)
		if got := inForce(); got != "[192.0.2.1 192.0.2.2]" {
			t.Errorf("after the name moved: %s", got)
		}
		after(namesKeep + namesEvery)
		if got := inForce(); got != "[192.0.2.2]" {
			t.Errorf("ten minutes later: %s", got)
		}
		// Without a resolver, at the next boot as well.
		w.mu.Lock()
		w.lookup = func(string) ([]netip.Addr, error) { return nil, errCut }
		w.mu.Unlock()
		after(time.Hour)
		s.end()
		w.stop()
		w.kernel = &fakeKernel{}
		w.start()
		after(time.Hour)
		if got := inForce(); got != "[192.0.2.2]" {
			t.Errorf("after a boot without a resolver: %s", got)
		}
	})
}

func TestAPodStartsWhenItsRulesAreInForce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		guarded := rules("one", nil)
		guarded.Pods.Guarded = []string{"shop"}
		s.send(1, guarded)
		after(2 * proofGap)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			w.loop.PodStarting(ctx, "sandbox", Pod{UID: "uid-1", Namespace: "shop", Name: "web", Addrs: []netip.Addr{netip.MustParseAddr("10.42.0.2")}})
			started <- time.Since(began)
		}()
		after(200 * time.Millisecond)
		now := w.kernel.now()
		if now.Local.Pods["uid-1"] == nil || !slices.Contains(now.Ruleset.Sets[now.Ruleset.Pods.IsolatedIngress].Pods, "uid-1") ||
			!slices.Contains(now.Ruleset.Sets[now.Ruleset.Pods.IsolatedEgress].Pods, "uid-1") {
			t.Fatalf("a pod that the server has not named is not cut off: %+v", now)
		}
		known := rules("one", map[model.SetID]model.Set{"pods/a": {Pods: []string{"uid-1"}}})
		known.Host = guarded.Host
		known.Pods = model.PodRules{Guarded: []string{"shop"}, Known: []string{"uid-1"}, IsolatedIngress: "pods/a"}
		s.send(2, known)
		synctest.Wait()
		if took := <-started; took > 300*time.Millisecond {
			t.Errorf("the pod waited %s", took)
		}
		if now := w.kernel.now().Ruleset.Pods; now.IsolatedIngress != "pods/a" || now.IsolatedEgress != "" {
			t.Errorf("the pod started with %+v", now)
		}
		w.loop.PodGone("sandbox")
		synctest.Wait()
		after(time.Second)
		if w.kernel.now().Local.Pods["uid-1"] != nil {
			t.Error("the pod's addresses stay")
		}
	})
}

func TestAPodWaitsForASecondAtMostAndIsCutOffThen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		guarded := rules("one", nil)
		guarded.Pods.Guarded = []string{"shop"}
		s.send(1, guarded)
		after(2 * proofGap)
		for _, p := range []Pod{{UID: "uid-1", Namespace: "shop"}, {UID: "uid-2", Namespace: "free"}} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			w.loop.PodStarting(ctx, p.UID, p)
			cancel()
			want := time.Second
			if p.Namespace == "free" {
				want = 0
			}
			if took := time.Since(began); took < want || took > want+2*gather {
				t.Errorf("a pod in namespace %s waited %s", p.Namespace, took)
			}
		}
	})
}

func TestPodsAreKnownAfterARestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.loop.PodsAre(map[string]Pod{"s1": {UID: "uid-1", Namespace: "shop", Addrs: []netip.Addr{netip.MustParseAddr("10.42.0.2")}}})
		after(time.Second)
		w.stop()
		w.kernel = &fakeKernel{}
		w.start()
		if got := fmt.Sprint(w.kernel.now().Local.Pods); got != "map[uid-1:[10.42.0.2]]" {
			t.Errorf("before the runtime is heard, pods are %s", got)
		}
	})
}

func TestAFullDiskIsReportedAndTheFileStays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		after(2 * proofGap)
		w.loop.saver.file = w.file + "/not-a-folder"
		s.send(2, rules("two", nil))
		after(2 * proofGap)
		if a := s.last(); a.State != protocol.StateProven || w.kernel.hostOf() != "two" {
			t.Errorf("the kernel has %q, acknowledged as %+v", w.kernel.hostOf(), a)
		}
		after(lookAfter)
		w.mu.Lock()
		trouble := w.trouble
		w.mu.Unlock()
		if trouble == nil || w.onDisk().Revision != 1 {
			t.Errorf("reported %v, on disk is revision %d", trouble, w.onDisk().Revision)
		}
	})
}

func TestConnectionsAreCutWhereRulesSaySo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		after(2 * proofGap)
		if w.kernel.cuts != 0 {
			t.Errorf("%d cuts with onChange keep", w.kernel.cuts)
		}
		rs := rules("one", nil)
		rs.Host.Cut = true
		s.send(2, rs)
		after(2 * proofGap)
		if w.kernel.cuts != 1 {
			t.Errorf("%d cuts, want one", w.kernel.cuts)
		}
	})
}
