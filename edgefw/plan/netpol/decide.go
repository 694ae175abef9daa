package netpol

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// DecidePod says what the rules of a node's pods do with the first packet of a
// flow that the node forwards, or that a pod sends to the cluster DNS or the API
// at the node: what its sender may send, then what its receiver may get. pods
// are the addresses of the node's pods by UID. The verdict is Pass where no
// policy is about either of them. The direction of p means nothing.
//
// IDs are those of rules, or "policy/egress" (ingress) where none allows it.
func DecidePod(rs *model.Ruleset, pods map[string][]netip.Addr, p model.Packet) model.Decision {
	from, to := p.From.Addr().Unmap(), p.To.Addr().Unmap()
	if from == to {
		return model.Decision{Verdict: model.Pass, Why: "a pod always reaches itself"}
	}
	v := view{rs: rs, pods: pods, packet: p}
	out := v.side(model.Egress, rs.Pods.IsolatedEgress, rs.Pods.Egress, from, to)
	if out.Verdict == model.Deny {
		return out
	}
	in := v.side(model.Ingress, rs.Pods.IsolatedIngress, rs.Pods.Ingress, to, from)
	switch {
	case in.Verdict == model.Pass:
		return out
	case in.Verdict == model.Allow && out.Verdict == model.Allow:
		in.Why = out.Why + "; " + in.Why
	}
	return in
}

// Words for what no rule allows.
const (
	denyEgress  = "policy/egress"
	denyIngress = "policy/ingress"
)

// view is a ruleset and a packet to look at.
type view struct {
	rs     *model.Ruleset
	pods   map[string][]netip.Addr
	packet model.Packet
}

// side is what the rules of one direction say; own is the pod's end.
func (v view) side(d model.Direction, isolated model.SetID, rules []model.PodRule, own, other netip.Addr) model.Decision {
	if isolated == "" || !v.holds(isolated, own) {
		return model.Decision{Verdict: model.Pass, Why: fmt.Sprintf("no network policy is about %s of %s", d, own)}
	}
	for _, r := range rules {
		if v.matches(r, own, other) {
			return model.Decision{Verdict: model.Allow, Rule: r.ID, Why: fmt.Sprintf("network policy rule %s allows %s of %s", r.ID, d, own)}
		}
	}
	rule := denyIngress
	if d == model.Egress {
		rule = denyEgress
	}
	return model.Decision{Verdict: model.Deny, Rule: rule, Why: fmt.Sprintf("network policies isolate %s for %s, and none allows this", own, d)}
}

func (v view) matches(r model.PodRule, own, other netip.Addr) bool {
	if r.Protocol != model.AnyProtocol && r.Protocol != v.packet.Protocol {
		return false
	}
	port := v.packet.To.Port()
	if len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(p model.PortRange) bool { return p.Contains(port) }) {
		return false
	}
	if !r.Anybody && !slices.ContainsFunc(r.Peers, func(id model.SetID) bool { return v.holds(id, other) }) {
		return false
	}
	return v.holds(r.Pods, own)
}

// holds tells whether the address is in the set, as the node fills it.
func (v view) holds(id model.SetID, addr netip.Addr) bool {
	set := v.rs.Sets[id]
	for _, uid := range set.Pods {
		if slices.Contains(v.pods[uid], addr) {
			return true
		}
	}
	i, found := slices.BinarySearchFunc(set.Prefixes, addr, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return found || i > 0 && set.Prefixes[i-1].Contains(addr)
}
