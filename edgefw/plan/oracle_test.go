package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

// oracle decides about a packet from what people wrote, without any of the steps
// between: no sets, no sharing, nothing left out.
type oracle struct {
	in   Input
	node model.Node
}

func (o oracle) decide(p model.Packet) model.Decision {
	d := model.Decision{}
	defaultAction, defaultFrom, rules := model.Pass, "", false
	firewalls := slices.Clone(o.in.Firewalls)
	slices.SortFunc(firewalls, func(a, b model.Firewall) int {
		return cmp.Or(int(a.Priority-b.Priority), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	for _, f := range firewalls {
		if f.Nodes != nil && !f.Nodes.Matches(labels.Set(o.node.Labels)) {
			continue
		}
		s := f.Ingress
		if p.Direction == model.Egress {
			s = f.Egress
		}
		for _, r := range s.Rules {
			rules = true
			if d.Verdict != model.Pass || !o.matches(r, p) {
				continue
			}
			id := f.Name + "/" + string(p.Direction) + "/" + r.Name
			if r.Action == model.Log {
				d.Logged = append(d.Logged, id)
				continue
			}
			d.Verdict, d.Rule = r.Action, id
		}
		if defaultAction == model.Pass && s.Default != model.Pass {
			defaultAction, defaultFrom = s.Default, "default/"+f.Name
		}
	}
	if d.Verdict != model.Pass || !rules && defaultAction == model.Pass {
		return d
	}
	if p.Direction == model.Ingress && (defaultAction == model.Deny || defaultAction == model.Reject) && o.balanced(p) {
		d.Verdict, d.Rule = model.Allow, "service"
		return d
	}
	if defaultAction != model.Pass {
		d.Verdict, d.Rule = defaultAction, defaultFrom
	}
	return d
}

func (o oracle) balanced(p model.Packet) bool {
	for _, b := range o.in.Inventory.Balanced {
		if !slices.Contains(b.Nodes, o.node.Name) || len(b.Sources) > 0 && !anyPrefix(b.Sources, p.From.Addr()) {
			continue
		}
		for _, port := range b.Ports {
			if port.Protocol == p.Protocol && port.Port == p.To.Port() {
				return true
			}
		}
	}
	return false
}

func (o oracle) matches(r model.Rule, p model.Packet) bool {
	if r.Protocol != model.AnyProtocol && r.Protocol != p.Protocol {
		return false
	}
	port := len(r.Ports) == 0
	for _, ports := range r.Ports {
		port = port || ports.Contains(p.To.Port())
	}
	other := p.From.Addr()
	if p.Direction == model.Egress {
		other = p.To.Addr()
	}
	peer := len(r.Peers) == 0
	for _, one := range r.Peers {
		peer = peer || o.isPeer(one, other)
	}
	return port && peer
}

func (o oracle) isPeer(peer model.Peer, a netip.Addr) bool {
	inv := o.in.Inventory
	switch {
	case peer.AddressSet != "":
		return anyPrefix(inv.AddressSets[peer.AddressSet].Prefixes, a)
	case peer.DNS != "":
		return slices.Contains(chance.Names()[peer.DNS], a)
	case peer.Nodes != nil:
		return o.isNode(a, func(n model.Node) bool { return peer.Nodes.Matches(labels.Set(n.Labels)) })
	case peer.Servers:
		return slices.Contains(inv.Servers, a) || o.isNode(a, func(n model.Node) bool { return n.Server })
	case peer.Cluster:
		return anyPrefix(inv.Pods, a) || anyPrefix(inv.Services, a) || slices.Contains(o.in.Known, a) ||
			o.isNode(a, func(model.Node) bool { return true })
	default:
		return peer.CIDR.Contains(a) && !anyPrefix(peer.Except, a)
	}
}

func (o oracle) isNode(a netip.Addr, chosen func(model.Node) bool) bool {
	for _, n := range o.in.Inventory.Nodes {
		if !chosen(n) {
			continue
		}
		if slices.Contains(n.Public, a) || slices.Contains(n.Reported, a) && o.near(n) {
			return true
		}
	}
	return false
}

// near tells whether another node is at the same site. A node that is alone at
// its site is not even near itself.
func (o oracle) near(n model.Node) bool {
	alone := true
	for _, other := range o.in.Inventory.Nodes {
		alone = alone && (other.Name == o.node.Name || !o.share(o.node, other))
	}
	return !alone && o.share(o.node, n)
}

func (o oracle) share(a, b model.Node) bool {
	nearServers := func(n model.Node) bool {
		return n.Server || slices.ContainsFunc(n.Public, netip.Addr.IsPrivate)
	}
	return nearServers(a) && nearServers(b) || slices.ContainsFunc(a.Public, func(p netip.Addr) bool {
		return !p.IsPrivate() && slices.Contains(b.Public, p)
	})
}

func anyPrefix(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}
