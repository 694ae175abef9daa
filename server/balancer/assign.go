package balancer

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Reasons of events on services.
const (
	EventReserved = "PortReserved"
	EventTaken    = "PortTaken"
	EventNoNodes  = "NoNodes"
	EventTooMany  = "TooManyNodes"
	// EventShared: an address is left out because a node has it that does not
	// offer the service, at another site.
	EventShared = "AddressShared"
)

// problem is why a service does not get all that it wants.
type problem struct{ reason, message string }

// offer is what becomes of one service.
type offer struct {
	service *service
	// nodes open its ports, whether they are ready or not: one that was away is to
	// answer as soon as it is back.
	nodes []string
	// addresses are those of nodes that are ready, sorted.
	addresses []netip.Addr
	// problems, the gravest first.
	problems []problem
}

// balanced is the offer in the words of firewalls.
func (o offer) balanced() model.Balanced {
	return model.Balanced{Name: nameOf(o.service), Ports: o.service.ports, Sources: o.service.sources, Nodes: o.nodes}
}

func nameOf(s *service) string { return s.Namespace + "/" + s.Name }

// assignment is one look at everything.
type assignment struct {
	Config
	nodes []*node
	// serving: by service, the nodes with an endpoint, true for ready ones.
	serving map[string]map[string]bool
	// having are the names of the nodes that have an address themselves, which
	// several may at sites with the same private network.
	having map[netip.Addr][]string
	// taken is who has a port of a node.
	taken map[string]map[model.BalancedPort]string
}

// assign decides about all services. Of two that want the same port of a node
// the older has it. The result is by name of the service.
func assign(services []*service, nodes []*node, running []*endpoints, cfg Config) []offer {
	a := assignment{Config: cfg, nodes: candidates(nodes), serving: serving(running), having: having(nodes), taken: map[string]map[model.BalancedPort]string{}}
	var ours []*service
	for _, s := range services {
		if s.ours {
			ours = append(ours, s)
		}
	}
	slices.SortFunc(ours, func(a, b *service) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(nameOf(a), nameOf(b)))
	})
	var offers []offer
	for _, s := range ours {
		offers = append(offers, a.offer(s))
	}
	slices.SortFunc(offers, func(a, b offer) int { return cmp.Compare(nameOf(a.service), nameOf(b.service)) })
	return offers
}

// candidates are the nodes with the label or, if none has it, all; by name.
func candidates(nodes []*node) []*node {
	able := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n.excluded })
	if slices.ContainsFunc(able, func(n *node) bool { return n.labelled }) {
		able = slices.DeleteFunc(able, func(n *node) bool { return !n.labelled })
	}
	slices.SortFunc(able, func(a, b *node) int { return cmp.Compare(a.Name, b.Name) })
	return able
}

func having(nodes []*node) map[netip.Addr][]string {
	all := map[netip.Addr][]string{}
	for _, n := range nodes {
		for _, address := range n.reported {
			all[address] = append(all[address], n.Name)
		}
	}
	return all
}

func serving(all []*endpoints) map[string]map[string]bool {
	byService := map[string]map[string]bool{}
	for _, e := range all {
		nodes := byService[e.service]
		if nodes == nil {
			nodes = map[string]bool{}
			byService[e.service] = nodes
		}
		for name, ready := range e.nodes {
			nodes[name] = nodes[name] || ready
		}
	}
	return byService
}

func (a *assignment) offer(s *service) offer {
	o := offer{service: s}
	for _, p := range s.ports {
		if use := a.Reserved[p.Port]; use != "" {
			o.problems = append(o.problems, problem{EventReserved, fmt.Sprintf("port %d is that of %s: give the service another port", p.Port, use)})
			return o
		}
	}
	var answering []*node
	for _, n := range a.nodes {
		ready, runs := a.serving[nameOf(s)][n.Name]
		if s.local && !runs {
			continue
		}
		if len(o.nodes) == MaxNodes {
			o.problems = append(o.problems, problem{EventTooMany, fmt.Sprintf("the first %d of %d nodes offer it: put the label %s on those that should", MaxNodes, len(a.nodes), Label)})
			break
		}
		if holder, port := a.holder(n.Name, s); holder != "" {
			o.conflict(n.Name, holder, port)
			continue
		}
		a.take(n.Name, s)
		o.nodes = append(o.nodes, n.Name)
		if n.ready && (ready || !s.local) {
			answering = append(answering, n)
		}
	}
	a.address(&o, answering)
	if len(o.addresses) == 0 && len(o.problems) == 0 {
		o.problems = append(o.problems, problem{EventNoNodes, a.why(&o)})
	}
	return o
}

// address gives a service the addresses of nodes. kube-proxy on every node takes
// what goes to one of them, also where it is the address of another machine: one
// that a node has which does not offer the service is left out.
func (a *assignment) address(o *offer, nodes []*node) {
	all := map[netip.Addr]bool{}
	for _, n := range nodes {
		for _, address := range addressesOf(n, o.service) {
			if slices.ContainsFunc(a.Cluster, func(p netip.Prefix) bool { return p.Contains(address) }) {
				continue
			}
			i := slices.IndexFunc(a.having[address], func(name string) bool { return !slices.Contains(o.nodes, name) })
			if i < 0 {
				all[address] = true
			} else if !o.has(EventShared) {
				o.problems = append(o.problems, problem{EventShared, fmt.Sprintf("address %s of node %s is left out: node %s has it, too, at another site, and does not offer the service: let both offer it, or give one of them another address", address, n.Name, a.having[address][i])})
			}
		}
	}
	o.addresses = slices.SortedFunc(maps.Keys(all), netip.Addr.Compare)
}

// has tells whether there is a problem of a kind: the first one of each is told.
func (o *offer) has(reason string) bool {
	return slices.ContainsFunc(o.problems, func(p problem) bool { return p.reason == reason })
}

func (a *assignment) why(o *offer) string {
	switch {
	case len(a.nodes) == 0:
		return "there is no node that offers services"
	case o.service.local && len(o.nodes) == 0:
		return "externalTrafficPolicy is Local, and no node that offers services runs an endpoint"
	}
	return "no node that offers it is ready and has an address of its family"
}

func (o *offer) conflict(node, holder string, port model.BalancedPort) {
	if !o.has(EventTaken) {
		o.problems = append(o.problems, problem{EventTaken, fmt.Sprintf("port %d/%s of node %s belongs to service %s, which is older: give one of them another port, or other nodes", port.Port, port.Protocol, node, holder)})
	}
}

// holder is who has one of the service's ports of a node; "" for nobody.
func (a *assignment) holder(node string, s *service) (string, model.BalancedPort) {
	for _, p := range s.ports {
		if holder := a.taken[node][p]; holder != "" {
			return holder, p
		}
	}
	return "", model.BalancedPort{}
}

func (a *assignment) take(node string, s *service) {
	if a.taken[node] == nil {
		a.taken[node] = map[model.BalancedPort]string{}
	}
	for _, p := range s.ports {
		a.taken[node][p] = nameOf(s)
	}
}

// addressesOf are a node's addresses of the families of a service.
func addressesOf(n *node, s *service) []netip.Addr {
	all := slices.Clone(n.public)
	if !s.publicOnly {
		all = append(all, n.reported...)
	}
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return a.Is4() && !s.ipv4 || a.Is6() && !s.ipv6 })
}
