package edgefw

import (
	"errors"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// An error may come when packets meet the new rules already. They are not on
// trial, so nothing else would ever take them back.
func TestRulesThatTheKernelTookInPartAreTakenBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.connect()
		defer s.end()
		s.send(1, rules("good", map[model.SetID]model.Set{"a": set("192.0.2.1/32")}))
		after(2 * proofGap)
		w.kernel.half = func(wish apply.Wish) bool { return wish.Ruleset.Host.Egress.DefaultFrom == "bad" }
		w.reaches(func(wish apply.Wish) error {
			if wish.Ruleset.Host.Egress.DefaultFrom == "bad" {
				return errors.New("cut off")
			}
			return nil
		})
		s.send(2, rules("bad", map[model.SetID]model.Set{"a": set("192.0.2.2/32")}))
		for range 20 {
			after(time.Second)
			now := w.kernel.now()
			if now.Ruleset.Host.Egress.DefaultFrom != "good" || now.Ruleset.Sets["a"].Prefixes[0].String() != "192.0.2.1/32" {
				t.Fatalf("the kernel has %q with %v", w.kernel.hostOf(), now.Ruleset.Sets)
			}
		}
		if a := s.last(); a.State != protocol.StateFailed || a.Enforced != 1 {
			t.Errorf("acknowledged as %+v", a)
		}
		if d := w.onDisk(); d == nil || d.Revision != 1 {
			t.Errorf("on disk is %+v", d)
		}
		s.send(3, rules("better", map[model.SetID]model.Set{"a": set("192.0.2.2/32")}))
		after(2 * proofGap)
		if a := s.last(); a.State != protocol.StateProven || a.Revision != 3 || w.kernel.hostOf() != "better" {
			t.Errorf("acknowledged as %+v, the kernel has %q", a, w.kernel.hostOf())
		}
	})
}
