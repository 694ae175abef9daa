package plan

import (
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// setKey is a set by its name and, where it is different at each, by site.
type setKey struct {
	id   model.SetID
	site string
}

// set is the content of one.
type set struct {
	number int
	value  model.Set
	// from is the list that the content was made of, if it was one.
	from []netip.Prefix
}

// set resolves one, once.
func (r *run) set(key setKey) *set {
	if s, ok := r.now.sets[key]; ok {
		return s
	}
	last := r.c.last.sets[key]
	s := r.resolve(key, last)
	switch {
	case last != nil && (s == last || sameSet(last, s)):
		last.from = s.from
		s = last
	case isOfSite(key.id):
		s = r.sharedSet(key.id, s)
	default:
		s.number = r.c.next()
	}
	r.now.sets[key] = s
	if isOfSite(key.id) {
		r.now.contents[contentKey(key.id, s)] = s
	}
	return s
}

// sharedSet finds a set of another site, or of last time, with the same content:
// many sites use the same private addresses.
func (r *run) sharedSet(id model.SetID, s *set) *set {
	key := contentKey(id, s)
	for _, m := range []*memory{r.now, r.c.last} {
		if same, ok := m.contents[key]; ok {
			return same
		}
	}
	s.number = r.c.next()
	return s
}

func contentKey(id model.SetID, s *set) string {
	text := append([]byte(id), ' ')
	for _, p := range s.value.Prefixes {
		text = append(p.AppendTo(text), ' ')
	}
	return string(text)
}

func sameSet(a, b *set) bool {
	return a.value.Name == b.value.Name && slices.Equal(a.value.Prefixes, b.value.Prefixes)
}

// resolve finds what is in a set now. Long lists are only looked at when they
// are others than last time.
func (r *run) resolve(key setKey, last *set) *set {
	if key.id == KnownSet {
		return r.known(key.site)
	}
	if base, ok := strings.CutPrefix(string(key.id), nearPrefix); ok {
		return r.near(r.sources[model.SetID(base)], key.site)
	}
	s := r.sources[key.id]
	switch {
	case s.name != "":
		return &set{value: model.Set{Name: s.name}}
	case s.addressSet != "":
		list := r.in.Inventory.AddressSets[s.addressSet].Prefixes
		if last != nil && sameSlice(last.from, list) {
			return last
		}
		return &set{value: model.Set{Prefixes: minimal(list)}, from: list}
	case s.prefixes != nil:
		return &set{value: model.Set{Prefixes: s.prefixes}}
	default:
		return r.addresses(s)
	}
}

// addresses are those by which nodes are met from everywhere, and what else
// belongs to the same peer.
func (r *run) addresses(s source) *set {
	var b netipx.IPSetBuilder
	for i := range r.in.Inventory.Nodes {
		if s.chooses(&r.in.Inventory.Nodes[i]) {
			addAll(&b, r.sites.public[i])
		}
	}
	if s.cluster {
		r.addCluster(&b)
	}
	if s.servers {
		addAll(&b, r.in.Inventory.Servers)
	}
	return &set{value: model.Set{Prefixes: prefixesOf(&b)}}
}

func (r *run) addCluster(b *netipx.IPSetBuilder) {
	inv := &r.in.Inventory
	for _, p := range slices.Concat(inv.Pods, inv.Services) {
		addPrefix(b, p)
	}
	for i := range inv.Nodes {
		for _, p := range inv.Nodes[i].PodRanges {
			addPrefix(b, p)
		}
	}
	addAll(b, r.in.Known)
}

// near are the addresses that chosen nodes of a site say they have.
func (r *run) near(s source, site string) *set {
	var b netipx.IPSetBuilder
	for _, i := range r.sites.nodes[site] {
		if s.chooses(&r.in.Inventory.Nodes[i]) {
			addAll(&b, r.sites.claimed[i])
		}
	}
	return &set{value: model.Set{Prefixes: prefixesOf(&b)}}
}

// known are all addresses by which nodes come to the server's door.
func (r *run) known(site string) *set {
	var b netipx.IPSetBuilder
	for i := range r.in.Inventory.Nodes {
		addAll(&b, r.sites.public[i])
	}
	for _, i := range r.sites.nodes[site] {
		addAll(&b, r.sites.claimed[i])
	}
	addAll(&b, r.in.Known)
	return &set{value: model.Set{Prefixes: prefixesOf(&b)}}
}

// chooses tells whether a node belongs to a peer.
func (s source) chooses(n *model.Node) bool {
	switch {
	case s.nodes != nil:
		return s.nodes.Matches(labels.Set(n.Labels))
	case s.servers:
		return n.Server
	default:
		return s.cluster
	}
}

func addAll(b *netipx.IPSetBuilder, addrs []netip.Addr) {
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); a.IsValid() && !a.IsUnspecified() {
			b.Add(a)
		}
	}
}
