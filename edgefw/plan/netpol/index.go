package netpol

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// index finds pods by what selectors ask for. Pods are named by their place in
// it, and all its lists are in ascending order, which is that of addresses.
type index struct {
	pods       []entry
	all        []int32
	namespaces []labels.Set // by number of the namespace
	numbers    map[string]int32
	nodes      []string
	byNS       [][]int32
	byLabel    map[label][]int32
	matched    map[string][]int32 // by key of the query
}

type label struct{ key, value string }

// entry is a pod with the addresses that are its own.
type entry struct {
	*Pod
	addresses []netip.Addr
	ns, node  int32 // node is -1 for the cluster DNS
}

func newIndex(in Input) *index {
	ix := &index{numbers: map[string]int32{}, byLabel: map[label][]int32{}, matched: map[string][]int32{}}
	for name, set := range in.Namespaces {
		ix.namespace(name, set)
	}
	ix.addPods(in)
	ix.addDNS(in.DNS)
	ix.settle()
	slices.SortFunc(ix.pods, func(a, b entry) int {
		return cmp.Or(slices.CompareFunc(a.addresses, b.addresses, netip.Addr.Compare), strings.Compare(a.UID, b.UID))
	})
	ix.fill()
	return ix
}

// namespace is its number. One that is not listed has the label that every
// namespace has.
func (ix *index) namespace(name string, set labels.Set) int32 {
	n, ok := ix.numbers[name]
	if ok {
		return n
	}
	if set == nil {
		set = labels.Set{corev1.LabelMetadataName: name}
	}
	n = int32(len(ix.namespaces))
	ix.numbers[name] = n
	ix.namespaces = append(ix.namespaces, set)
	return n
}

// addPods adds those that a policy can be about.
func (ix *index) addPods(in Input) {
	nodes := map[string]int32{}
	claims := owners(in.Pods)
	ix.pods = make([]entry, 0, len(in.Pods)+1)
	for i := range in.Pods {
		p := &in.Pods[i]
		if p.HostNetwork || p.Ended || p.Node == "" || claims[p.UID] != p {
			continue
		}
		node, ok := nodes[p.Node]
		if !ok {
			node = int32(len(ix.nodes))
			nodes[p.Node] = node
			ix.nodes = append(ix.nodes, p.Node)
		}
		ix.pods = append(ix.pods, entry{Pod: p, addresses: in.own(p), ns: ix.namespace(p.Namespace, nil), node: node})
	}
}

// own are the addresses of a pod that its node can have given it.
func (in Input) own(p *Pod) []netip.Addr {
	ranges, ok := in.Ranges[p.Node]
	if !ok {
		return p.Addresses
	}
	foreign := func(a netip.Addr) bool {
		return !slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(a) })
	}
	if !slices.ContainsFunc(p.Addresses, foreign) {
		return p.Addresses
	}
	return slices.DeleteFunc(slices.Clone(p.Addresses), foreign)
}

// owners are the pods by UID. Where several claim one, it is that of the one
// that has it by itself, or of the oldest.
func owners(pods []Pod) map[string]*Pod {
	of := make(map[string]*Pod, len(pods))
	for i := range pods {
		p := &pods[i]
		other, taken := of[p.UID]
		if !taken || other.Mirror && (!p.Mirror || older(p, other)) {
			of[p.UID] = p
		}
	}
	return of
}

func older(a, b *Pod) bool {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)) < 0
}

// addDNS adds the cluster DNS as the pod that it has in other clusters.
func (ix *index) addDNS(addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	p := &Pod{
		Namespace: "kube-system", Labels: map[string]string{"k8s-app": "kube-dns"}, Addresses: []netip.Addr{addr},
		Ports: []NamedPort{{Name: "dns", Protocol: model.UDP, Port: 53}, {Name: "dns-tcp", Protocol: model.TCP, Port: 53}},
	}
	ix.pods = append(ix.pods, entry{Pod: p, addresses: p.Addresses, ns: ix.namespace(p.Namespace, nil), node: -1})
}

// settle gives each address to one pod only.
func (ix *index) settle() {
	owner := make(map[netip.Addr]int, len(ix.pods))
	for i := range ix.pods {
		for _, addr := range ix.pods[i].addresses {
			other, taken := owner[addr]
			if !taken {
				owner[addr] = i
				continue
			}
			if other == i {
				continue
			}
			loser := i
			if newer(ix.pods[i].Pod, ix.pods[other].Pod) {
				owner[addr], loser = i, other
			}
			l := &ix.pods[loser]
			l.addresses = slices.DeleteFunc(slices.Clone(l.addresses), func(a netip.Addr) bool { return a == addr })
		}
	}
}

// newer tells whether an address that both claim is a's.
func newer(a, b *Pod) bool {
	if a.Leaving != b.Leaving {
		return b.Leaving
	}
	if !a.Created.Equal(b.Created) {
		return a.Created.After(b.Created)
	}
	return a.UID > b.UID
}

// fill makes the lists.
func (ix *index) fill() {
	ix.all = make([]int32, len(ix.pods))
	ix.byNS = make([][]int32, len(ix.namespaces))
	for i := range ix.pods {
		n, p := int32(i), &ix.pods[i]
		ix.all[i] = n
		ix.byNS[p.ns] = append(ix.byNS[p.ns], n)
		for k, v := range p.Labels {
			ix.byLabel[label{k, v}] = append(ix.byLabel[label{k, v}], n)
		}
	}
}

// guarded are the namespaces with a policy, sorted.
func guarded(in Input) []string {
	set := map[string]bool{}
	for _, p := range in.Policies {
		set[p.Namespace] = true
	}
	return slices.Sorted(maps.Keys(set))
}
