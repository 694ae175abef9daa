package netpol

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// directions are the ones that a policy isolates. A policy of no type is about
// ingress, and about egress if it has a rule of it.
func directions(p *networkingv1.NetworkPolicy) (ingress, egress bool) {
	types := p.Spec.PolicyTypes
	if len(types) == 0 {
		return true, len(p.Spec.Egress) > 0
	}
	return slices.Contains(types, networkingv1.PolicyTypeIngress), slices.Contains(types, networkingv1.PolicyTypeEgress)
}

// policy adds what one policy says.
func (b *build) policy(p *networkingv1.NetworkPolicy) {
	pods := b.selected(query{namespace: p.Namespace, pods: selectorOf(&p.Spec.PodSelector)})
	if len(pods.byNode) == 0 {
		return
	}
	ingress, egress := directions(p)
	if ingress {
		b.isolate(pods, model.Ingress)
		for i := range p.Spec.Ingress {
			b.ingress(ruleID(p, model.Ingress, i), pods, p.Namespace, &p.Spec.Ingress[i])
		}
	}
	if egress {
		b.isolate(pods, model.Egress)
		for i := range p.Spec.Egress {
			b.egress(ruleID(p, model.Egress, i), pods, p.Namespace, &p.Spec.Egress[i])
		}
	}
}

func ruleID(p *networkingv1.NetworkPolicy, d model.Direction, i int) string {
	return fmt.Sprintf("%s/%s/%s/%d", p.Namespace, p.Name, d, i+1)
}

// ingress adds a rule. Its named ports are those of the pods that the policy
// selects, which may differ.
func (b *build) ingress(id string, pods *podSet, namespace string, r *networkingv1.NetworkPolicyIngressRule) {
	from := b.peersOf(namespace, r.From)
	groups, names := split(r.Ports)
	for _, g := range groups {
		b.allow(model.Ingress, pods, model.PodRule{ID: id, Protocol: g.protocol, Ports: g.ports}, b.set(from))
	}
	for _, n := range names {
		for _, port := range sortedPorts(b.ix.byNumber(pods.list, n)) {
			some := b.podSet(keyOf(pods.key, n.String(), fmt.Sprint(port.number)), port.pods)
			b.allow(model.Ingress, some, model.PodRule{ID: id, Protocol: n.protocol, Ports: []model.PortRange{model.Port(port.number)}}, b.set(from))
		}
	}
}

// egress adds a rule. Its named ports are those of the pods that it leads to.
func (b *build) egress(id string, pods *podSet, namespace string, r *networkingv1.NetworkPolicyEgressRule) {
	to := b.peersOf(namespace, r.To)
	groups, names := split(r.Ports)
	for _, g := range groups {
		b.allow(model.Egress, pods, model.PodRule{ID: id, Protocol: g.protocol, Ports: g.ports}, b.set(to))
	}
	if ports := b.apiPorts(groups); ports != nil && to.covers(b.in.API) {
		rule := model.PodRule{ID: id, Protocol: model.TCP, Ports: ports}
		b.allow(model.Egress, pods, rule, b.set(&peers{key: "api", blocks: single(b.in.API)}))
	}
	for _, n := range names {
		for _, port := range sortedPorts(b.ix.byNumber(b.receivers(to), n)) {
			some := &peers{key: keyOf(to.key, n.String(), fmt.Sprint(port.number)), pods: port.pods}
			b.allow(model.Egress, pods, model.PodRule{ID: id, Protocol: n.protocol, Ports: []model.PortRange{model.Port(port.number)}}, b.set(some))
		}
	}
}

// serversPort is what API servers listen on. People write it in policies, as
// other clusters look at packets when they are on their way to a server.
const serversPort = 6443

// apiPorts are all ports of the API where the groups have some of them, but not
// all.
func (b *build) apiPorts(groups []group) []model.PortRange {
	if !b.in.API.IsValid() {
		return nil
	}
	for _, g := range groups {
		if g.protocol != model.TCP {
			continue
		}
		var all []model.PortRange
		some := g.has(serversPort)
		for _, port := range b.in.APIPorts {
			all = append(all, model.Port(port))
			some = some || g.has(port)
		}
		if some {
			return mergePorts(all)
		}
	}
	return nil
}

// peers are the other ends of a rule.
type peers struct {
	anybody bool
	key     string
	pods    []int32
	blocks  *netipx.IPSet // nil for none
}

// peersOf are everybody where a rule names none.
func (b *build) peersOf(namespace string, list []networkingv1.NetworkPolicyPeer) *peers {
	if len(list) == 0 {
		return &peers{anybody: true}
	}
	var keys []string
	var blocks netipx.IPSetBuilder
	p := &peers{}
	for i := range list {
		if list[i].IPBlock != nil {
			set := block(list[i].IPBlock)
			blocks.AddSet(set)
			keys = append(keys, fmt.Sprint(set.Prefixes()))
			continue
		}
		if q, ok := queryOf(namespace, &list[i]); ok {
			keys = append(keys, q.key())
			p.pods = merge(p.pods, b.ix.find(q))
		}
	}
	if set, err := blocks.IPSet(); err == nil && len(set.Ranges()) > 0 {
		p.blocks = set
	}
	slices.Sort(keys)
	p.key = keyOf(slices.Compact(keys)...)
	return p
}

// queryOf is what the selectors of a peer ask for.
func queryOf(namespace string, p *networkingv1.NetworkPolicyPeer) (query, bool) {
	q := query{namespace: namespace, pods: labels.Everything()}
	if p.PodSelector != nil {
		q.pods = selectorOf(p.PodSelector)
	}
	if p.NamespaceSelector != nil {
		q.namespaces = selectorOf(p.NamespaceSelector)
	}
	return q, p.PodSelector != nil || p.NamespaceSelector != nil
}

// covers tells whether the address is among the peers as one of a block.
func (p *peers) covers(addr netip.Addr) bool {
	return p.anybody || p.blocks != nil && p.blocks.Contains(addr)
}

// receivers are the pods among the peers, those in blocks included.
func (b *build) receivers(p *peers) []int32 {
	if p.anybody {
		return b.ix.all
	}
	if p.blocks == nil {
		return p.pods
	}
	var inside []int32
	for i := range b.ix.pods {
		if slices.ContainsFunc(b.ix.pods[i].addresses, p.blocks.Contains) {
			inside = append(inside, int32(i))
		}
	}
	return merge(p.pods, inside)
}

func single(addr netip.Addr) *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.Add(addr)
	set, _ := b.IPSet()
	return set
}

// merge is both ascending lists together, ascending.
func merge(a, b []int32) []int32 {
	if len(a) == 0 {
		return b
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
