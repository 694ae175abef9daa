package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// service is a balanced service in the words of rulesets.
type service struct {
	number  int
	of      model.Balanced
	rules   []model.HostRule
	sources map[model.SetID]source
}

// servicesByNode are those that each node offers, sorted by name.
func (r *run) servicesByNode() map[string][]*service {
	byNode := map[string][]*service{}
	sorted := slices.SortedFunc(slices.Values(r.in.Inventory.Balanced), func(a, b model.Balanced) int {
		return cmp.Compare(a.Name, b.Name)
	})
	for _, b := range sorted {
		s, ok := r.c.last.services[b.Name]
		if !ok || !sameService(&s.of, &b) {
			s = translateService(b)
			s.number = r.c.next()
		}
		r.now.services[b.Name] = s
		maps.Copy(r.sources, s.sources)
		for _, node := range b.Nodes {
			byNode[node] = append(byNode[node], s)
		}
	}
	return byNode
}

// sameService looks at what rules depend on. Both are small.
func sameService(a, b *model.Balanced) bool {
	return a.Name == b.Name && slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Sources, b.Sources)
}

func translateService(b model.Balanced) *service {
	var list []model.Peer
	for _, source := range b.Sources {
		list = append(list, model.Peer{CIDR: source})
	}
	p := peersOf(list)
	s := &service{of: b, sources: p.sources}
	sorted := slices.SortedFunc(slices.Values(b.Ports), comparePorts)
	for _, port := range slices.Compact(sorted) {
		if port.Port == 0 || port.Protocol != model.TCP && port.Protocol != model.UDP {
			continue
		}
		s.rules = append(s.rules, model.HostRule{
			ID: serviceRule(b.Name, port), Action: model.Allow, Protocol: port.Protocol,
			Ports: ports(port.Port), Peers: p.sets, Anybody: p.anybody,
		})
	}
	return s
}

func comparePorts(a, b model.BalancedPort) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// serviceRule has the protocol in it where it is not the usual one: a service
// may have a port by both.
func serviceRule(name string, port model.BalancedPort) string {
	id := fmt.Sprintf("service/%s/%d", name, port.Port)
	if port.Protocol != model.TCP {
		id += "/" + string(port.Protocol)
	}
	return id
}
