package netpol

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kedge-io/kedge/edgefw/model"
)

// oracle reads policies literally, packet by packet, and knows no sets.
type oracle struct{ in Input }

func (o oracle) pod(a netip.Addr) *Pod {
	for i := range o.in.Pods {
		if p := &o.in.Pods[i]; !p.HostNetwork && !p.Ended && slices.Contains(p.Addresses, a) {
			return p
		}
	}
	return nil
}

func (o oracle) allows(p model.Packet) bool {
	from, to := o.pod(p.From.Addr()), o.pod(p.To.Addr())
	if p.From.Addr() == p.To.Addr() {
		return true
	}
	return o.side(from, p, true) && o.side(to, p, false)
}

func (o oracle) side(own *Pod, packet model.Packet, egress bool) bool {
	isolated := false
	if own == nil {
		return true
	}
	for _, p := range o.in.Policies {
		in, out := directions(p)
		if p.Namespace != own.Namespace || !selects(&p.Spec.PodSelector, own.Labels) || (egress && !out) || (!egress && !in) {
			continue
		}
		isolated = true
		if egress && slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return o.rule(p.Namespace, r.To, r.Ports, packet.To.Addr(), o.pod(packet.To.Addr()), packet)
		}) {
			return true
		}
		if !egress && slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
			return o.rule(p.Namespace, r.From, r.Ports, packet.From.Addr(), own, packet)
		}) {
			return true
		}
	}
	return !isolated
}

// rule looks up names of ports at the packet's receiver.
func (o oracle) rule(ns string, list []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, other netip.Addr, receiver *Pod, packet model.Packet) bool {
	return (len(list) == 0 || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPeer) bool { return o.peer(ns, p, other) })) &&
		(len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return o.port(p, receiver, packet) }))
}

func (o oracle) peer(ns string, p networkingv1.NetworkPolicyPeer, other netip.Addr) bool {
	if p.IPBlock != nil {
		if !netip.MustParsePrefix(p.IPBlock.CIDR).Contains(other) {
			return false
		}
		return !slices.ContainsFunc(p.IPBlock.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(other) })
	}
	pod := o.pod(other)
	switch {
	case pod == nil:
		return false
	case p.NamespaceSelector == nil && pod.Namespace != ns:
		return false
	case p.NamespaceSelector != nil && !selects(p.NamespaceSelector, o.in.Namespaces[pod.Namespace]):
		return false
	}
	return p.PodSelector == nil || selects(p.PodSelector, pod.Labels)
}

func (o oracle) port(p networkingv1.NetworkPolicyPort, receiver *Pod, packet model.Packet) bool {
	if protocol(p.Protocol) != packet.Protocol {
		return false
	}
	port := int32(packet.To.Port())
	switch {
	case p.Port == nil:
		return true
	case p.Port.Type == intstr.Int:
		end := p.Port.IntVal
		if p.EndPort != nil {
			end = *p.EndPort
		}
		return p.Port.IntVal <= port && port <= end
	case receiver == nil:
		return false
	}
	return slices.ContainsFunc(receiver.Ports, func(n NamedPort) bool {
		return n.Name == p.Port.StrVal && n.Protocol == packet.Protocol && int32(n.Port) == port
	})
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	return selectorOf(s).Matches(labels.Set(set))
}

// random makes inputs in which everything meets everything.
type random struct{ *rand.Rand }

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

func (r random) input() Input {
	in := Input{Namespaces: map[string]map[string]string{}}
	for n := range 3 {
		in.Namespaces[fmt.Sprint("n", n)] = r.labels()
	}
	for n := range 1 + r.IntN(20) {
		in.Pods = append(in.Pods, Pod{
			UID: fmt.Sprint("u", n), Namespace: fmt.Sprint("n", r.IntN(3)), Name: fmt.Sprint("p", n), Node: fmt.Sprint("node", r.IntN(3)),
			Labels: r.labels(), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 42, 0, byte(n)})},
			HostNetwork: r.IntN(10) == 0, Ended: r.IntN(10) == 0,
			Ports: []NamedPort{{"web", model.TCP, pick[uint16](r, 80, 81)}, {"talk", model.UDP, 80}},
		})
	}
	for n := range r.IntN(6) {
		in.Policies = append(in.Policies, r.policy(n))
	}
	return in
}

func (r random) labels() map[string]string {
	out := map[string]string{}
	for _, k := range []string{"a", "b"} {
		if r.IntN(3) > 0 {
			out[k] = pick(r, "1", "2")
		}
	}
	return out
}

func (r random) selector() metav1.LabelSelector {
	s := metav1.LabelSelector{}
	if r.IntN(2) == 0 {
		s.MatchLabels = map[string]string{pick(r, "a", "b"): pick(r, "1", "2")}
	}
	if r.IntN(3) == 0 {
		e := metav1.LabelSelectorRequirement{Key: pick(r, "a", "b"), Operator: pick(r, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn)}
		if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
			e.Values = pick(r, []string{"1"}, []string{"1", "2"})
		}
		s.MatchExpressions = append(s.MatchExpressions, e)
	}
	return s
}

func (r random) policy(n int) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name = fmt.Sprint("n", r.IntN(3)), fmt.Sprint("policy", n)
	p.Spec.PodSelector = r.selector()
	p.Spec.PolicyTypes = pick(r, nil, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
	for range r.IntN(3) {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: r.peers(), Ports: r.ports()})
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: r.peers(), Ports: r.ports()})
	}
	return p
}

func (r random) peers() (out []networkingv1.NetworkPolicyPeer) {
	for range r.IntN(3) {
		p := networkingv1.NetworkPolicyPeer{}
		one, two := r.selector(), r.selector()
		switch r.IntN(4) {
		case 0:
			p.PodSelector = &one
		case 1:
			p.NamespaceSelector = &one
		case 2:
			p.PodSelector, p.NamespaceSelector = &one, &two
		default:
			p.IPBlock = &networkingv1.IPBlock{CIDR: pick(r, "0.0.0.0/0", "10.42.0.0/29", "10.42.0.6/32", "192.0.2.0/24")}
			if p.IPBlock.CIDR == "0.0.0.0/0" {
				p.IPBlock.Except = pick(r, nil, []string{"10.42.0.8/30"}, []string{"10.42.0.0/16", "192.0.2.0/25"})
			}
		}
		out = append(out, p)
	}
	return out
}

func (r random) ports() (out []networkingv1.NetworkPolicyPort) {
	for range r.IntN(3) {
		p := networkingv1.NetworkPolicyPort{Protocol: pick(r, nil, new(corev1.ProtocolTCP), new(corev1.ProtocolUDP))}
		switch r.IntN(4) {
		case 0:
			p.Port = new(intstr.FromString(pick(r, "web", "talk")))
		case 1:
			p.Port = new(intstr.FromInt32(80))
			p.EndPort = pick(r, nil, new(int32(90)))
		case 2:
			p.Port = new(intstr.FromInt32(81))
		}
		out = append(out, p)
	}
	return out
}

func (r random) packet(in Input) model.Packet {
	end := func() netip.Addr {
		if r.IntN(5) == 0 {
			return netip.MustParseAddr(pick(r, "192.0.2.1", "192.0.2.200", "8.8.8.8"))
		}
		return in.Pods[r.IntN(len(in.Pods))].Addresses[0]
	}
	return model.Packet{
		Protocol: pick(r, model.TCP, model.TCP, model.UDP), From: netip.AddrPortFrom(end(), 40000),
		To: netip.AddrPortFrom(end(), pick[uint16](r, 80, 81, 90, 91)),
	}
}

func TestCompiledRulesDecideAsPoliciesRead(t *testing.T) {
	allowed, denied := 0, 0
	for seed := range uint64(1500) {
		r := random{rand.New(rand.NewPCG(seed, 1))}
		in := r.input()
		w, o := compiledWorld(in), oracle{in}
		for range 40 {
			p := r.packet(in)
			got, want := w.decide(p).Verdict != model.Deny, o.allows(p)
			if got != want {
				t.Fatalf("seed %d: %s > %s %s: allowed is %t, want %t: %s", seed, p.From, p.To, p.Protocol, got, want, w.decide(p).Why)
			}
			if want {
				allowed++
			} else {
				denied++
			}
		}
	}
	if allowed < 10_000 || denied < 10_000 {
		t.Errorf("%d packets were allowed and %d denied: the inputs say little", allowed, denied)
	}
}

func TestOrderOfTheInputMeansNothing(t *testing.T) {
	for seed := range uint64(300) {
		r := random{rand.New(rand.NewPCG(seed, 2))}
		in := r.input()
		first := Compile(in)
		r.Shuffle(len(in.Pods), func(i, j int) { in.Pods[i], in.Pods[j] = in.Pods[j], in.Pods[i] })
		r.Shuffle(len(in.Policies), func(i, j int) { in.Policies[i], in.Policies[j] = in.Policies[j], in.Policies[i] })
		if second := Compile(in); !reflect.DeepEqual(first, second) {
			t.Fatalf("seed %d: another order gives another result:\n%+v\n%+v", seed, first, second)
		}
	}
}

// TestLaterCompilationsAreLikeFirstOnes also keeps results that did not change.
func TestLaterCompilationsAreLikeFirstOnes(t *testing.T) {
	same := 0
	for seed := range uint64(300) {
		r := random{rand.New(rand.NewPCG(seed, 3))}
		in := r.input()
		var c Compiler
		before := c.Compile(in)
		in.Pods = slices.Clone(in.Pods)
		changed := &in.Pods[r.IntN(len(in.Pods))]
		changed.Labels = r.labels()
		after, fresh := c.Compile(in), Compile(in)
		for _, node := range []string{"node0", "node1", "node2", "other"} {
			if !reflect.DeepEqual(after.Of(node), fresh.Of(node)) {
				t.Fatalf("seed %d: %s differs from a compilation without memory", seed, node)
			}
			if reflect.DeepEqual(before.Of(node), after.Of(node)) {
				same++
				if before.Of(node) != after.Of(node) {
					t.Fatalf("seed %d: %s did not change and was made anew", seed, node)
				}
			}
		}
	}
	if same == 0 {
		t.Error("nothing stayed the same")
	}
}
