package plan

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// changed is an input in which one thing is different.
func changed(c chance.Chance, in Input) Input {
	w := c.Change(chance.World{Firewalls: in.Firewalls, Inventory: in.Inventory, Known: in.Known})
	return Input{Firewalls: w.Firewalls, Inventory: w.Inventory, Known: w.Known}
}

func TestWhatIsKeptIsNeverStale(t *testing.T) {
	for seed := range uint64(30) {
		c := chance.New(seed)
		in, compiler := worldInput(c), Compiler{}
		for step := range 40 {
			got, want := compiler.Compile(in), Compile(in)
			if !reflect.DeepEqual(got, want) {
				for name := range want.Rulesets {
					t.Logf("%s:\n%s", name, Diff(want.Rulesets[name], got.Rulesets[name]))
				}
				t.Fatalf("seed %d, step %d: what was kept is not what is now", seed, step)
			}
			in = changed(c, in)
		}
	}
}

func TestWhatDidNotChangeStaysWhereItIs(t *testing.T) {
	for seed := range uint64(30) {
		c := chance.New(seed)
		in, compiler := worldInput(c), Compiler{}
		before := compiler.Compile(in)
		for step := range 20 {
			in = changed(c, in)
			after := compiler.Compile(again(in))
			for name, rs := range after.Rulesets {
				was := before.Rulesets[name]
				if was != nil && was != rs && reflect.DeepEqual(was, rs) {
					t.Fatalf("seed %d, step %d: the ruleset of %s is equal and not the same", seed, step, name)
				}
				compareSlices(t, was, rs)
			}
			before = after
		}
	}
}

// again is an input whose small parts were read anew.
func again(in Input) Input {
	in.Firewalls = slices.Clone(in.Firewalls)
	in.Inventory.Nodes = slices.Clone(in.Inventory.Nodes)
	for i := range in.Inventory.Nodes {
		in.Inventory.Nodes[i].Public = slices.Clone(in.Inventory.Nodes[i].Public)
	}
	return in
}

func compareSlices(t *testing.T, was, is *model.Ruleset) {
	t.Helper()
	if was == nil {
		return
	}
	for id, s := range is.Sets {
		if former := was.Sets[id]; slices.Equal(former.Prefixes, s.Prefixes) && !sameSlice(former.Prefixes, s.Prefixes) {
			t.Errorf("set %s is equal and not the same", id)
		}
	}
}

func TestNodesThatAreEqualShare(t *testing.T) {
	in := input(model.Firewall{Name: "f", Ingress: model.Section{Default: model.Deny, Rules: []model.Rule{
		{Name: "all", Action: model.Allow, Peers: []model.Peer{{Cluster: true}, {AddressSet: "offices"}}}}}})
	in.Inventory.Balanced = nil
	for n := range 20 {
		in.Inventory.Nodes = append(in.Inventory.Nodes, model.Node{Name: chance.Name("far", n), Public: []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + n)})}})
	}
	out := Compile(in)
	different := map[*model.Ruleset]bool{}
	for _, rs := range out.Rulesets {
		different[rs] = true
	}
	if len(different) != 3 { // the server, berlin, and all the others
		t.Errorf("%d different rulesets", len(different))
	}
}

func TestAFirewallMadeAnewIsNotTakenForTheOld(t *testing.T) {
	var compiler Compiler
	write := func(action model.Action) Input {
		return input(model.Firewall{Name: "f", Generation: 1, Ingress: model.Section{Rules: []model.Rule{{Name: "r", Action: action}}}})
	}
	compiler.Compile(write(model.Allow))
	out := compiler.Compile(write(model.Deny))
	if got := out.Rulesets["oslo-1"].Host.Ingress.Rules[0].Action; got != model.Deny {
		t.Errorf("it says %s", got)
	}
}

func TestPoliciesComeAndGo(t *testing.T) {
	var compiler Compiler
	in := input(model.Firewall{Name: "f", Ingress: model.Section{Default: model.Deny}})
	in.Pods = netpol.Input{
		Pods:       []netpol.Pod{{UID: "uid", Namespace: "shop", Name: "till", Node: "oslo-1", Addresses: addrs("10.42.3.5")}},
		Namespaces: map[string]map[string]string{"shop": nil},
	}
	before := compiler.Compile(in).Rulesets
	in.Pods.Policies = []*networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "closed"},
		Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}}
	guarded := compiler.Compile(in).Rulesets
	p := said(t, "in tcp 192.0.2.1:1 > 10.42.3.5:80")
	local := Local{Pods: map[string][]netip.Addr{"uid": addrs("10.42.3.5")}}
	if d := Decide(guarded["oslo-1"], facts(), local, p); d.Verdict != model.Deny {
		t.Errorf("under the policy: %+v", d)
	}
	in.Pods.Policies = nil
	after := compiler.Compile(in).Rulesets
	if d := Decide(after["oslo-1"], facts(), local, p); d.Verdict != model.Pass {
		t.Errorf("without the policy: %+v", d)
	}
	if !reflect.DeepEqual(before, after) {
		t.Error("something of the policy is left")
	}
}
