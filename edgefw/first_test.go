package edgefw

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// started is how long a pod with that number waits for its rules.
func (w *world) started(t *testing.T, uid string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	w.loop.PodStarting(ctx, uid, Pod{UID: uid, Namespace: "shop", Addrs: []netip.Addr{netip.MustParseAddr("10.42.0.2")}})
	return time.Since(began)
}

func TestTheFirstPodsWaitForAServer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		waited := make(chan time.Duration, 1)
		go func() { waited <- w.started(t, "uid-1") }()
		after(200 * time.Millisecond)
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		if took := <-waited; took < 200*time.Millisecond || took > 400*time.Millisecond {
			t.Errorf("the first pod waited %s, the server spoke after 200ms", took)
		}
		if took := w.started(t, "uid-2"); took > 100*time.Millisecond {
			t.Errorf("the next one waited %s", took)
		}
	})
}

func TestANodeThatIsCutOffSoonStartsPodsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if took := w.started(t, "uid-1"); took < time.Second {
			t.Errorf("the first pod waited %s", took)
		}
		after(firstWord)
		if took := w.started(t, "uid-2"); took > 100*time.Millisecond {
			t.Errorf("after a while a pod still waited %s", took)
		}
	})
}

// TestPoliciesOutliveTheProcess also where they are newer than what was proven:
// they cannot cut the node off.
func TestPoliciesOutliveTheProcess(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", map[model.SetID]model.Set{"set/a": set("192.0.2.0/24")}))
		after(2 * proofGap)
		w.reaches(func(apply.Wish) error { return errors.New("no answer") })
		closed := rules("two", map[model.SetID]model.Set{"set/b": set("198.51.100.0/24")})
		closed.Sets["pods/a"] = model.Set{Pods: []string{"uid-1"}}
		closed.Pods = model.PodRules{Guarded: []string{"shop"}, Known: []string{"uid-1"}, IsolatedIngress: "pods/a"}
		s.send(2, closed)
		w.stop()
		w.kernel = &fakeKernel{}
		w.start()
		now := w.kernel.now().Ruleset
		if now.Host.Egress.DefaultFrom != "one" || len(now.Sets["set/a"].Prefixes) != 1 {
			t.Errorf("the host begins with %+v, want what was proven", now)
		}
		if now.Pods.IsolatedIngress != "pods/a" || len(now.Sets["pods/a"].Pods) != 1 || len(now.Sets) != 2 {
			t.Errorf("pods begin with %+v, want what they had", now)
		}
	})
}

func TestOldPoliciesDoNotComeBack(t *testing.T) {
	k := &keptRules{Revision: 6, Pods: model.PodRules{Guarded: []string{"old"}}}
	rs := &model.Ruleset{Pods: model.PodRules{Guarded: []string{"new"}}}
	if got := k.over(rs, 7); got != rs {
		t.Errorf("revision 6 took the place of 7: %+v", got)
	}
	if got := k.over(rs, 6).Pods.Guarded; got[0] != "old" {
		t.Errorf("of equal revisions %v was taken", got)
	}
}

func TestTheFirstPolicyOfANamespaceIsOnDiskSoon(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		after(2 * proofGap)
		closed := rules("one", nil)
		closed.Pods.Guarded = []string{"shop"}
		s.send(2, closed)
		after(calmGap + 2*proofGap)
		if d := w.onDisk(); d.Revision != 2 {
			t.Errorf("on disk is revision %d", d.Revision)
		}
	})
}
