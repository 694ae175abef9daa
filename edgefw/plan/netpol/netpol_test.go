package netpol

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/edgefw/model"
)

const onlyTheNamespace = `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`

func TestPodsInTheNetworkOfTheHostAreNoPods(t *testing.T) {
	in := fixture()
	in.Pods[0].HostNetwork = true // x/a
	in.Policies = policies(t, onlyTheNamespace)
	w := compiledWorld(in)
	w.expect(t, "not selected", "u/a > x/a:80", true)
	w.expect(t, "not a peer", "x/a > x/b:80", false)
	if known := w.compiled.Of("one").Rules.Known; slices.Contains(known, "x-a") {
		t.Errorf("node one knows %v, x-a is in the network of the host", known)
	}
}

func TestEndedPodsHaveNoAddress(t *testing.T) {
	in := fixture()
	in.Pods[1].Ended = true // x/b
	in.Pods = append(in.Pods, Pod{UID: "new", Namespace: "u", Name: "new", Node: "two", Addresses: in.Pods[1].Addresses})
	in.Policies = policies(t, onlyTheNamespace)
	w := compiledWorld(in)
	w.expect(t, "whoever has the address of an ended pod", "u/new > x/a:80", false)
	w.expect(t, "other pods", "x/c > x/a:80", true)
}

func TestAnAddressIsThatOfThePodThatStays(t *testing.T) {
	in := fixture()
	in.Pods[1].Created, in.Pods[1].Leaving = created(9), true // x/b
	in.Pods = append(in.Pods, Pod{UID: "new", Namespace: "u", Name: "new", Node: "two", Addresses: in.Pods[1].Addresses, Created: created(1)})
	in.Policies = policies(t, onlyTheNamespace)
	compiledWorld(in).expect(t, "one that takes over the address of one that leaves", "u/new > x/a:80", false)
	in.Pods[1].Leaving = false
	compiledWorld(in).expect(t, "the newer one", "x/b > x/a:80", true)
	in.Pods[1].Created = created(0)
	compiledWorld(in).expect(t, "the older one", "x/b > x/a:80", false)
}

func TestANodeGivesItsPodsNoAddressesOfOthers(t *testing.T) {
	in := fixture()
	in.Policies = policies(t, onlyTheNamespace)
	in.Ranges = map[string][]netip.Prefix{"one": {netip.MustParsePrefix("10.42.0.0/24")}}
	in.Pods = append(in.Pods,
		Pod{UID: "thief", Namespace: "x", Name: "thief", Node: "one", Addresses: []netip.Addr{netip.MustParseAddr("10.42.1.13")}, Created: created(9)},
		Pod{UID: "free", Namespace: "x", Name: "free", Node: "two", Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")}})
	w := compiledWorld(in)
	w.expect(t, "the address of u/a on node two, claimed by node one", "10.42.1.13 > x/a:80", false)
	w.expect(t, "a node without a known range", "10.9.9.9 > x/a:80", true)
}

func TestWhoClaimsTheUIDOfAnotherGetsNothing(t *testing.T) {
	in := fixture()
	in.Policies = policies(t, onlyTheNamespace+"\n---\nmetadata: {namespace: u}, spec: {podSelector: {matchLabels: {thief: ''}}, ingress: [{}]}")
	want := Compile(in)
	in.Pods = append(in.Pods, Pod{UID: "x-a", Mirror: true, Namespace: "u", Name: "thief", Node: "one", Labels: map[string]string{"thief": ""}, Created: created(-99)})
	slices.Reverse(in.Pods)
	if got := Compile(in); !reflect.DeepEqual(got, want) {
		t.Errorf("a mirror pod that claims x-a changes the rules to %+v", got.Of("one"))
	}
}

func TestNodesWithoutGuardedPodsShareOneResult(t *testing.T) {
	in := fixture()
	in.Pods = append(in.Pods, Pod{UID: "alone", Namespace: "free", Name: "alone", Node: "three"})
	in.Policies = policies(t, onlyTheNamespace)
	c := Compile(in)
	if c.Of("three") != c.Of("four") || !slices.Equal(c.Of("four").Rules.Guarded, []string{"x"}) {
		t.Errorf("node three has %+v, four %+v, want one result that guards x", c.Of("three"), c.Of("four"))
	}
	if r := Compile(fixture()).Of("one"); !reflect.DeepEqual(*r, Result{}) {
		t.Errorf("without policies node one has %+v", r)
	}
}

func TestNodeKnowsItsOwnPodsOnly(t *testing.T) {
	in := fixture()
	in.Policies = policies(t, onlyTheNamespace)
	r := Compile(in).Of("one")
	if !slices.Equal(r.Rules.Known, []string{"x-a", "x-c"}) {
		t.Errorf("node one knows %v, want x-a and x-c", r.Rules.Known)
	}
	if got := r.Sets[r.Rules.IsolatedIngress].Pods; !slices.Equal(got, []string{"x-a", "x-c"}) {
		t.Errorf("isolated are %v, want x-a and x-c", got)
	}
	if r.Rules.IsolatedEgress != "" || len(r.Rules.Egress) > 0 {
		t.Errorf("egress is isolated: %+v", r.Rules)
	}
	rule := r.Rules.Ingress[0]
	want := []netip.Prefix{netip.MustParsePrefix("10.42.0.10/32"), netip.MustParsePrefix("10.42.0.12/32"), netip.MustParsePrefix("10.42.1.11/32")}
	if got := r.Sets[rule.Peers[0]].Prefixes; rule.ID != "x/p1/ingress/1" || !slices.Equal(got, want) {
		t.Errorf("rule %+v has peers %v, want %v", rule, got, want)
	}
}

func TestAPodThatComesChangesSetsAndNoRule(t *testing.T) {
	in := fixture()
	in.Policies = policies(t, onlyTheNamespace)
	before := Compile(in).Of("one")
	in.Pods = append(in.Pods, Pod{UID: "late", Namespace: "x", Name: "late", Node: "two", Addresses: []netip.Addr{netip.MustParseAddr("10.42.1.99")}})
	after := Compile(in).Of("one")
	if !reflect.DeepEqual(before.Rules, after.Rules) || reflect.DeepEqual(before.Sets, after.Sets) {
		t.Errorf("rules went from %+v to %+v, sets from %v to %v", before.Rules, after.Rules, before.Sets, after.Sets)
	}
}

func TestEverySetOfARuleIsThere(t *testing.T) {
	for i, c := range semantics {
		in := fixture()
		in.Policies = policies(t, c.policies)
		for _, node := range []string{"one", "two"} {
			r := Compile(in).Of(node)
			named := map[model.SetID]bool{r.Rules.IsolatedIngress: true, r.Rules.IsolatedEgress: true}
			for _, rule := range slices.Concat(r.Rules.Ingress, r.Rules.Egress) {
				named[rule.Pods] = true
				for _, id := range rule.Peers {
					named[id] = true
				}
			}
			delete(named, "")
			if len(named) != len(r.Sets) {
				t.Errorf("case %d, node %s: %d sets are named, %d there", i, node, len(named), len(r.Sets))
			}
			for id := range named {
				if _, ok := r.Sets[id]; !ok {
					t.Errorf("case %d, node %s: set %s is missing", i, node, id)
				}
			}
		}
	}
}

func TestDecisionsNameTheRule(t *testing.T) {
	in := fixture()
	in.Policies = policies(t, `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: 1}]}, {ports: [{port: 80}]}]}
---
metadata: {namespace: u}, spec: {podSelector: {}, policyTypes: [Egress]}`)
	w := compiledWorld(in)
	for packet, want := range map[string]string{
		"z/a > x/a:80": "x/p1/ingress/2", "z/a > x/a:81": "policy/ingress", "u/a > x/a:80": "policy/egress", "z/a > z/b:80": "",
	} {
		if d := w.decide(w.packet(packet)); d.Rule != want {
			t.Errorf("%s is decided by %q, want %q", packet, d.Rule, want)
		}
	}
}

func TestPodOfReadsWhatMatters(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	o := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: "api", Annotations: map[string]string{mirrorAnnotation: "runtime"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 80}, {ContainerPort: 9}}}},
			InitContainers: []corev1.Container{
				{Ports: []corev1.ContainerPort{{Name: "once", ContainerPort: 1}}},
				{RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "side", ContainerPort: 2, Protocol: corev1.ProtocolSCTP}}},
			},
		},
		Status: corev1.PodStatus{PodIP: "10.42.0.5", PodIPs: []corev1.PodIP{{IP: "10.42.0.5"}, {IP: "2001:db8::5"}}},
	}
	p := PodOf(o)
	if got := fmt.Sprintln(p.UID, p.Mirror, p.Addresses, p.Ports); got != "runtime true [10.42.0.5 2001:db8::5] [{web tcp 80} {side sctp 2}]\n" {
		t.Error(got)
	}
	o.Status.Phase = corev1.PodSucceeded
	if p := PodOf(o); !p.Ended || p.Addresses != nil {
		t.Errorf("a pod that ended is %+v", p)
	}
}

func TestMergedIsSmallest(t *testing.T) {
	var addrs []netip.Addr
	for _, text := range []string{"10.0.0.3", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.5", "2001:db8::1", "2001:db8::"} {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	if got := fmt.Sprint(merged(addrs)); got != "[10.0.0.0/30 10.0.0.5/32 2001:db8::/127]" {
		t.Error(got)
	}
	if got := union(block1("0.0.0.0/0"), nil); fmt.Sprint(got) != "[0.0.0.0/1 128.0.0.0/1]" {
		t.Error(got)
	}
}

func block1(cidr string) *netipx.IPSet { return block(&networkingv1.IPBlock{CIDR: cidr}) }
