package plan

import (
	"net/netip"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
)

func TestDifferenceForPeople(t *testing.T) {
	rule := func(name string, action model.Action) model.Rule {
		return model.Rule{Name: name, Action: action, Peers: []model.Peer{{AddressSet: name}}}
	}
	compiled := func(sets map[string][]netip.Prefix, d model.Action, rules ...model.Rule) *model.Ruleset {
		in := input(model.Firewall{Name: "f", Ingress: model.Section{Rules: rules, Default: d}})
		for name, list := range sets {
			in.Inventory.AddressSets[name] = model.AddressSet{Name: name, Prefixes: list}
		}
		in.Inventory.Balanced = nil
		return Compile(in).Rulesets["oslo-1"]
	}
	before := compiled(map[string][]netip.Prefix{"a": prefixes("10.0.0.0/8")}, model.Deny,
		rule("a", model.Allow), rule("b", model.Allow), rule("c", model.Allow), rule("gone", model.Allow))
	after := compiled(map[string][]netip.Prefix{"a": prefixes("10.0.0.0/9", "192.0.2.0/24")}, model.Reject,
		rule("b", model.Allow), rule("a", model.Allow), rule("c", model.Deny))
	golden(t, "diff", Diff(before, after).String())
	if d := Diff(after, after); !d.Empty() || d.String() != "" {
		t.Errorf("nothing changed, and yet: %s", d)
	}
	golden(t, "diff-first", Diff(nil, after).String())
	if Diff(nil, nil).String() != "" || !Diff(&model.Ruleset{}, nil).Empty() {
		t.Error("two that are nothing are different")
	}
}
