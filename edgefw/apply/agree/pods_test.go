//go:build namespace

package agree

import (
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

// pods are those of the node by UID.
var pods = map[string][]netip.Addr{"uid-1": {pod}, "uid-2": parse("10.42.0.6"), "uid-3": parse("10.42.0.7")}

// Sets of the node's pods and of others. They overlap.
var podSets = map[model.SetID]model.Set{
	"pods/all":   {Pods: []string{"uid-1", "uid-2", "uid-3"}},
	"pods/one":   {Pods: []string{"uid-1"}},
	"pods/two":   {Pods: []string{"uid-2", "uid-gone"}},
	"peers/all":  {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}},
	"peers/one":  {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.42.0.5/32"), netip.MustParsePrefix("10.42.3.3/32")}},
	"peers/some": {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/29"), netip.MustParsePrefix("192.0.2.0/29")}},
	"peers/none": {},
}

// withPods is a ruleset with policies, too.
func (d *draw) withPods(host *model.Ruleset) *model.Ruleset {
	rs := &model.Ruleset{Host: host.Host, Sets: map[model.SetID]model.Set{}}
	for id, s := range host.Sets {
		rs.Sets[id] = s
	}
	for id, s := range podSets {
		rs.Sets[id] = s
	}
	rs.Pods = model.PodRules{
		Known: []string{"uid-1", "uid-2", "uid-3"}, Guarded: []string{"default"},
		IsolatedIngress: chance.Pick(d.Chance, "", d.ownPods(), d.ownPods()), IsolatedEgress: chance.Pick(d.Chance, "", d.ownPods(), d.ownPods()),
		Ingress: chance.Many(d.Chance, 4, d.podRule), Egress: chance.Many(d.Chance, 4, d.podRule),
	}
	return rs
}

func (d *draw) ownPods() model.SetID {
	return chance.Pick[model.SetID](d.Chance, "pods/all", "pods/one", "pods/two")
}

func (d *draw) podRule() model.PodRule {
	r := model.PodRule{ID: "policy/some/rule", Pods: d.ownPods(), Anybody: d.One(3),
		Protocol: chance.Pick(d.Chance, model.AnyProtocol, model.TCP, model.UDP, model.SCTP)}
	if !r.Anybody {
		r.Peers = append(chance.Many(d.Chance, 1, d.otherPods), d.otherPods())
		slices.Sort(r.Peers)
		r.Peers = slices.Compact(r.Peers)
	}
	if r.Protocol != model.AnyProtocol {
		r.Ports = d.Ports()
	}
	return r
}

func (d *draw) otherPods() model.SetID {
	return chance.Pick[model.SetID](d.Chance, "peers/all", "peers/one", "peers/some", "peers/none", "pods/one")
}

// passing is a packet that is routed: between pods of this and of other nodes, the
// machine, and the world. A pod's packet to itself is the matter of others.
func (d *draw) passing() (direction model.Direction, link string, from, to netip.Addr) {
	var mine []netip.Addr
	for _, uid := range []string{"uid-1", "uid-2", "uid-3"} {
		mine = append(mine, pods[uid]...)
	}
	to = chance.Pick(d.Chance, slices.Concat(mine, mine, elsepods, parse(own...), parse("203.0.113.9", "10.43.7.7"))...)
	switch d.IntN(3) {
	case 0:
		link, from = "kedge0", chance.Pick(d.Chance, mine...)
	case 1:
		link, from = "kedge-relay", elsepods[0]
	default:
		link, from = "eth0", d.Addr()
	}
	if from == to {
		return d.passing()
	}
	return model.Ingress, link, from, to
}
