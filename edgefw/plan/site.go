package plan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// sharedSpace is for networks behind a provider's NAT (RFC 6598): as private as
// those of RFC 1918.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// nearServers is the site of the servers and of all nodes that they see come
// from a private address: there is no NAT between them.
const nearServers = "servers"

// A private address says nothing where another site may have the same. So it is
// told only to nodes of its own site: those that share an address by which the
// servers see them come. Global addresses that no server sees are told to these
// alone as well.
type sites struct {
	// of is the site of each node by its index, "" for one that is alone.
	of []string
	// nodes are the indexes of nodes that one of a site may meet by the addresses
	// that they claim.
	nodes map[string][]int
	// public are addresses by which servers see a node, claimed those that it says
	// it has. Nobody but its own site believes the latter: one node must not open
	// the others to any address in the world.
	public, claimed [][]netip.Addr
}

func sitesOf(inv *model.Inventory) *sites {
	s := &sites{of: make([]string, len(inv.Nodes)), nodes: map[string][]int{},
		public: make([][]netip.Addr, len(inv.Nodes)), claimed: make([][]netip.Addr, len(inv.Nodes))}
	byKey := map[string][]int{}
	keys := make([][]string, len(inv.Nodes))
	for i := range inv.Nodes {
		s.sort(inv, i)
		keys[i] = siteKeys(&inv.Nodes[i])
		for _, key := range keys[i] {
			byKey[key] = append(byKey[key], i)
		}
	}
	for i := range inv.Nodes {
		s.place(i, keys[i], byKey)
	}
	return s
}

// sort tells addresses that are seen from those that are claimed.
// Addresses of pods and services are nobody's.
func (s *sites) sort(inv *model.Inventory, i int) {
	n := &inv.Nodes[i]
	for _, a := range n.Public {
		if a = a.Unmap().WithZone(""); a.IsGlobalUnicast() {
			s.public[i] = append(s.public[i], a)
		}
	}
	for _, a := range n.Reported {
		a = a.Unmap().WithZone("")
		if a.IsGlobalUnicast() && !inside(inv.Pods, a) && !inside(inv.Services, a) && !inside(n.PodRanges, a) {
			s.claimed[i] = append(s.claimed[i], a)
		}
	}
}

// place finds the nodes that share a key with node i.
func (s *sites) place(i int, keys []string, byKey map[string][]int) {
	var near []int
	for _, key := range keys {
		near = append(near, byKey[key]...)
	}
	slices.Sort(near)
	near = slices.Compact(near)
	if len(near) < 2 {
		return
	}
	s.of[i] = strings.Join(keys, " ")
	s.nodes[s.of[i]] = near
}

// siteKeys are sorted.
func siteKeys(n *model.Node) []string {
	var keys []string
	if n.Server {
		keys = append(keys, nearServers)
	}
	for _, a := range n.Public {
		a = a.Unmap().WithZone("")
		switch {
		case isPrivate(a):
			keys = append(keys, nearServers)
		case a.IsGlobalUnicast():
			keys = append(keys, a.String())
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func isPrivate(a netip.Addr) bool { return a.IsPrivate() || sharedSpace.Contains(a) }

// inside is for the few prefixes of the cluster, which may overlap.
func inside(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
