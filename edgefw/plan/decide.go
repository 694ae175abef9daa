package plan

import (
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// Decide says what becomes of a packet on a node, and why, in the kernel's
// order. Its direction is seen from the node; for a packet that the node
// forwards for one of its pods it means nothing. Limits are taken as not used
// up.
func Decide(rs *model.Ruleset, facts model.Facts, local Local, p model.Packet) model.Decision {
	return newJudge(rs, facts, local, ImpliedRules).decide(p)
}

// Decider is [Decide] for many packets.
type Decider struct{ judge *judge }

// NewDecider takes what does not change from packet to packet.
func NewDecider(rs *model.Ruleset, facts model.Facts, local Local) *Decider {
	return &Decider{judge: newJudge(rs, facts, local, ImpliedRules)}
}

// Decide may be called by several goroutines.
func (d *Decider) Decide(p model.Packet) model.Decision { return d.judge.decide(p) }

// noImplied leaves only what people wrote.
func noImplied(model.Facts, model.Direction) []Implied { return nil }

// judge decides about packets of one node.
type judge struct {
	rs      *model.Ruleset
	facts   model.Facts
	local   Local
	pods    map[netip.Addr]bool
	implied map[model.Direction][]Implied
}

func newJudge(rs *model.Ruleset, facts model.Facts, local Local, implied func(model.Facts, model.Direction) []Implied) *judge {
	j := &judge{rs: rs, facts: facts, local: local, pods: map[netip.Addr]bool{}, implied: map[model.Direction][]Implied{}}
	for _, addrs := range local.Pods {
		for _, a := range addrs {
			j.pods[a] = true
		}
	}
	for _, d := range model.Directions {
		j.implied[d] = implied(facts, d)
	}
	return j
}

func (j *judge) decide(p model.Packet) model.Decision {
	p.From, p.To = plain(p.From), plain(p.To)
	sender, receiver := j.ownPod(p.From.Addr()), j.ownPod(p.To.Addr())
	switch {
	case sender && !receiver && j.isHost(p.To.Addr()):
		return j.fromPodToHost(p)
	case receiver && !sender && (p.Direction == model.Egress || j.isOwn(p.From.Addr())):
		// A node always reaches its own pods, as far as policies go.
		p.Direction = model.Egress
		return j.host(p)
	case sender && j.isForged(p):
		return j.hostAndPod(p)
	case sender || receiver:
		return j.forward(p)
	default:
		return j.host(p)
	}
}

// isForged tells whether somebody else uses the address of a pod to reach a
// service: the packet comes by a device by which no pod's comes.
func (j *judge) isForged(p model.Packet) bool {
	return p.Direction == model.Ingress && p.Link != "" && j.inScope(p)
}

// fromPodToHost: what comes to the host is asked about by the rules of the host
// and, if it is for the cluster's DNS or API, by the pod's own policies. Other
// addresses of its own node a pod always reaches, as far as policies go.
func (j *judge) fromPodToHost(p model.Packet) model.Decision {
	p.Direction = model.Ingress
	if p.Link == "" {
		p.Link = j.facts.PodLink
	}
	if !j.isForPods(p.To.Addr()) {
		return j.host(p)
	}
	return j.hostAndPod(p)
}

// hostAndPod is for packets that both must let through, the host first. What it
// rejects is answered later, and so a policy may drop it before.
func (j *judge) hostAndPod(p model.Packet) model.Decision {
	d := j.host(p)
	if d.Verdict == model.Deny {
		return d
	}
	pod := j.forward(p)
	if d.Verdict == model.Reject && pod.Verdict != model.Deny {
		return d
	}
	if pod.Verdict != model.Pass {
		pod.Logged = append(d.Logged, pod.Logged...)
		return pod
	}
	return d
}

// forward is about packets from or to pods, which only policies judge.
func (j *judge) forward(p model.Packet) model.Decision {
	if p.Established && len(j.rs.Pods.Guarded) > 0 && !j.isForPods(p.To.Addr()) {
		// The node does not track what pods say to its DNS and API.
		return model.Decision{Verdict: model.Allow, Rule: "implied/established", Why: reasons["established"]}
	}
	d := netpol.DecidePod(j.rs, j.local.Pods, p)
	if d.Verdict == model.Pass && d.Why == "" {
		d.Why = "no network policy is about it"
	}
	return d
}

func refuses(d model.Decision) bool { return d.Verdict == model.Deny || d.Verdict == model.Reject }

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func (j *judge) ownPod(a netip.Addr) bool { return j.pods[a] }

// isOwn tells whether an address is certainly one of this machine.
func (j *judge) isOwn(a netip.Addr) bool {
	return a.IsLoopback() || j.isForPods(a) || slices.Contains(j.local.Addresses, a)
}

// isForPods tells whether an address is one of those by which the node serves
// its pods.
func (j *judge) isForPods(a netip.Addr) bool {
	return a.IsValid() && (a == j.facts.ClusterDNS || a == j.facts.API)
}

// isHost tells whether what is sent to an address comes to the host. Unless it
// is known which ones it has, it is all that no pod and no service has.
func (j *judge) isHost(a netip.Addr) bool {
	if j.isOwn(a) || a.IsMulticast() || a == broadcast || j.isOfRouters(a) {
		return true
	}
	return len(j.local.Addresses) == 0 && !j.isService(a) && !j.isPodRange(a)
}

// isOfRouters tells whether an address is the one that all routers of one of the
// node's networks have: the network's own (RFC 4291 2.6.1).
func (j *judge) isOfRouters(a netip.Addr) bool {
	const length = 64 // that of networks of hosts
	if !a.Is6() || netip.PrefixFrom(a, length).Masked().Addr() != a {
		return false
	}
	return slices.ContainsFunc(j.local.Addresses, func(own netip.Addr) bool {
		return own.Is6() && netip.PrefixFrom(a, length).Contains(own)
	})
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func (j *judge) isService(a netip.Addr) bool {
	return j.facts.Services.IsValid() && j.facts.Services.Contains(a)
}

func (j *judge) isPodRange(a netip.Addr) bool {
	return j.facts.PodRange.IsValid() && j.facts.PodRange.Contains(a)
}
