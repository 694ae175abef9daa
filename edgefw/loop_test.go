package edgefw

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

var errCut = errors.New("dial tcp: i/o timeout")

// cutBy is a network in which the server is out of reach under these rules.
func cutBy(bad func(apply.Wish) bool) func(apply.Wish) error {
	return func(w apply.Wish) error {
		if bad(w) {
			return errCut
		}
		return nil
	}
}

func isHost(version string) func(apply.Wish) bool {
	return func(w apply.Wish) bool { return w.Ruleset.Host.Egress.DefaultFrom == version }
}

func TestRulesAreAppliedAtOnceThenProvenAndKept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("good", nil))
		if w.kernel.hostOf() != "good" {
			t.Fatalf("the kernel has %q", w.kernel.hostOf())
		}
		after(2 * proofGap)
		if got := fmt.Sprint(s.states(1)); got != "[applied proven]" && got != "[proven]" {
			t.Errorf("acknowledged as %s", got)
		}
		if d := w.onDisk(); d.Revision != 1 || d.Ruleset.Host.Egress.DefaultFrom != "good" {
			t.Errorf("on disk is %+v", d)
		}
		if n := w.loop.Snapshot(); n.Enforced != 1 || n.Proven != 1 || n.Lag != 0 {
			t.Errorf("the snapshot is %+v", n)
		}
	})
}

func TestRulesThatCutTheNodeOffGoBackWithinTheLimit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("good", nil))
		after(2 * proofGap)
		w.reaches(cutBy(isHost("bad")))
		s.send(2, rules("bad", nil))
		if w.kernel.hostOf() != "bad" {
			t.Fatalf("the kernel has %q", w.kernel.hostOf())
		}
		after(ProofLimit + 2*proofGap)
		if w.kernel.hostOf() != "good" {
			t.Fatalf("the kernel has %q", w.kernel.hostOf())
		}
		a := s.last()
		if a.State != protocol.StateRolledBack || a.Revision != 2 || a.Enforced != 1 || a.Reason == "" {
			t.Errorf("acknowledged as %+v", a)
		}
		if got := fmt.Sprint(w.told()); got != "[FirewallRolledBack]" {
			t.Errorf("people were told %s", got)
		}
		// It is not tried again, whatever else changes, also after a restart.
		w.stop()
		w.start()
		s2 := w.connect()
		defer s2.end()
		bad := rules("bad", nil)
		bad.Pods.Known = []string{"uid-1"}
		s2.send(3, bad)
		after(time.Hour)
		now := w.kernel.now().Ruleset
		if now.Host.Egress.DefaultFrom != "good" || !slices.Equal(now.Pods.Known, []string{"uid-1"}) {
			t.Errorf("the kernel has the host's rules %q and the pods %v, want the former and the new ones", now.Host.Egress.DefaultFrom, now.Pods.Known)
		}
		if a := s2.last(); a.State != protocol.StateRolledBack || a.Enforced != 1 {
			t.Errorf("acknowledged as %+v", a)
		}
		if d := w.onDisk(); d.Ruleset.Host.Egress.DefaultFrom != "good" || len(d.Refused) != 1 {
			t.Errorf("on disk is %+v", d)
		}
		// Until somebody changes it.
		s2.send(4, rules("better", nil))
		after(2 * proofGap)
		if a := s2.last(); a.State != protocol.StateProven || w.kernel.hostOf() != "better" {
			t.Errorf("the kernel has %q, acknowledged as %+v", w.kernel.hostOf(), a)
		}
		if d := w.onDisk(); len(d.Refused) != 0 {
			t.Errorf("still refused: %+v", d.Refused)
		}
	})
}

func TestASetThatCutsTheNodeOffGoesBackAndOthersGoOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		with := func(a, b string) *model.Ruleset {
			return rules("one", map[model.SetID]model.Set{"set/a": set(a), "set/b": set(b)})
		}
		s.send(1, with("192.0.2.0/24", "198.51.100.0/24"))
		after(calmGap)
		w.reaches(cutBy(func(w apply.Wish) bool { return w.Ruleset.Sets["set/a"].Prefixes[0].Bits() == 32 }))
		s.send(2, with("192.0.2.1/32", "198.51.100.0/24"))
		after(calmGap + ProofLimit + 2*proofGap)
		s.send(3, with("192.0.2.1/32", "198.51.100.0/25"))
		after(2 * calmGap)
		now := w.kernel.now().Ruleset.Sets
		if got := fmt.Sprint(now["set/a"].Prefixes, now["set/b"].Prefixes); got != "[192.0.2.0/24] [198.51.100.0/25]" {
			t.Errorf("the sets are %s, want the former one and the new one", got)
		}
		if a := s.last(); a.State != protocol.StateRolledBack {
			t.Errorf("acknowledged as %+v", a)
		}
	})
}

func TestTheFormerRulesAreBackInTimeAlsoAfterAQuietChange(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", map[model.SetID]model.Set{"set/a": set("192.0.2.0/24")}))
		after(2 * proofGap)
		// A proof has just been, so the next one is late.
		w.reaches(cutBy(func(w apply.Wish) bool { return w.Ruleset.Sets["set/a"].Prefixes[0].Bits() == 32 }))
		began := time.Now()
		s.send(2, rules("one", map[model.SetID]model.Set{"set/a": set("192.0.2.1/32")}))
		for w.kernel.now().Ruleset.Sets["set/a"].Prefixes[0].Bits() == 32 {
			after(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the former set was back after %s", took)
		}
	})
}

func TestAServerThatIsAwayIsNoReasonToRefuseRules(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		after(2 * proofGap)
		w.reaches(func(apply.Wish) error { return errCut })
		s.send(2, rules("two", nil))
		after(ProofLimit + 2*proofGap)
		if a := s.last(); a.State != protocol.StateApplied {
			t.Errorf("before the verdict it is acknowledged as %+v", a)
		}
		after(5 * time.Minute)
		if a := s.last(); a.State != protocol.StateRolledBack || !strings.HasPrefix(a.Reason, "undecided") {
			t.Errorf("undecided is acknowledged as %+v", a)
		}
		if w.kernel.hostOf() != "one" || !w.loop.Snapshot().Undecided {
			t.Errorf("the kernel has %q, undecided %v", w.kernel.hostOf(), w.loop.Snapshot().Undecided)
		}
		w.reaches(func(apply.Wish) error { return nil })
		after(3 * undecidedGap)
		if a := s.last(); w.kernel.hostOf() != "two" || a.State != protocol.StateProven || a.Revision != 2 {
			t.Errorf("the kernel has %q, acknowledged as %+v", w.kernel.hostOf(), a)
		}
		if got := fmt.Sprint(w.told()); got != "[FirewallUndecided FirewallEnforced]" {
			t.Errorf("people were told %s", got)
		}
	})
}

// A way to the server that needs its time to recover must not be cut again and
// again.
func TestUndecidedRulesAreTriedLessAndLess(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		after(2 * proofGap)
		var back time.Time
		w.reaches(func(wish apply.Wish) error {
			if isHost("two")(wish) {
				back = time.Now().Add(2 * ProofLimit)
				return errCut
			}
			if time.Now().Before(back) {
				return errCut
			}
			return nil
		})
		s.send(2, rules("two", nil))
		cut := 0
		for range 3600 {
			after(time.Second)
			if w.kernel.hostOf() == "two" {
				cut++
			}
		}
		if cut > 8*int(ProofLimit/time.Second) {
			t.Errorf("of an hour, the node was cut off for %d s", cut)
		}
		if cut < 2*int(ProofLimit/time.Second) {
			t.Errorf("the rules were tried for %d s only", cut)
		}
	})
}

func TestProofsOfQuietChangesAreGathered(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		for i := range 100 {
			s.send(uint64(i+1), rules("one", map[model.SetID]model.Set{"set/a": set(fmt.Sprintf("192.0.2.%d/32", i))}))
			after(time.Second)
		}
		after(2 * calmGap)
		if n := w.proofs.Load(); n < 10 || n > 14 {
			t.Errorf("%d proofs in 100 s of changes of a set", n)
		}
		if a := s.last(); a.State != protocol.StateProven || a.Revision != 100 {
			t.Errorf("acknowledged as %+v", a)
		}
	})
}

func TestANewerRevisionDuringTheTrialHasItsOwnTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		w.reaches(cutBy(isHost("bad")))
		s.send(1, rules("bad", nil))
		after(ProofLimit / 2)
		s.send(2, rules("fixed", nil))
		after(ProofLimit)
		if a := s.last(); a.State != protocol.StateProven || a.Revision != 2 || w.kernel.hostOf() != "fixed" {
			t.Errorf("the kernel has %q, acknowledged as %+v", w.kernel.hostOf(), a)
		}
	})
}

func TestANodeBeginsWithWhatWasProven(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		s.send(7, rules("good", nil))
		after(2 * proofGap)
		w.reaches(func(apply.Wish) error { return errCut }) // no network at the boot
		s.end()
		w.stop()
		w.kernel = &fakeKernel{}
		w.start()
		if w.kernel.hostOf() != "good" {
			t.Fatalf("the kernel has %q", w.kernel.hostOf())
		}
		after(time.Hour)
		if w.kernel.hostOf() != "good" || len(w.told()) != 0 {
			t.Errorf("an hour later the kernel has %q, people were told %v", w.kernel.hostOf(), w.told())
		}
		s = w.connect()
		defer s.end()
		if len(s.hellos) != 1 || s.hellos[0].Revision != 7 || s.hellos[0].Holds.Host == (protocol.Hash{}) {
			t.Errorf("the node says %+v", s.hellos)
		}
	})
}

func TestADamagedFileLeadsToTheMinimalSafeSet(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		if err := os.WriteFile(w.file, []byte(`{"version":1,"sha256":"00","state":{}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		if c := w.kernel.now().Ruleset.Host.Ingress; c.Default != model.Deny || c.DefaultFrom != plan.SafeName {
			t.Fatalf("the kernel has %+v", c)
		}
		if n := w.loop.Snapshot(); !n.Minimal || fmt.Sprint(w.told()) != "[FirewallMinimal]" {
			t.Errorf("minimal %v, people were told %v", n.Minimal, w.told())
		}
		after(time.Hour)
		if data, _ := os.ReadFile(w.file); len(data) > 50 {
			t.Error("the damaged file was replaced before a server was heard")
		}
		s := w.connect()
		defer s.end()
		s.send(3, rules("good", nil))
		after(2 * proofGap)
		if n := w.loop.Snapshot(); n.Minimal || w.kernel.hostOf() != "good" || w.onDisk().Revision != 3 {
			t.Errorf("minimal %v, the kernel has %q", n.Minimal, w.kernel.hostOf())
		}
	})
}
