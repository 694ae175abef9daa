package netpol

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// build is one compilation.
type build struct {
	in    Input
	ix    *index
	nodes []nodeBuild // by number of the node
	sets  map[model.SetID]model.Set
	pods  map[string]*podSet
	// last are sets of the former compilation, whose parts are used again.
	last map[model.SetID]model.Set
}

// nodeBuild is the result of one node in the making.
type nodeBuild struct {
	rules           model.PodRules
	ingress, egress []string // isolated
	sets            map[model.SetID]model.Set
}

// podSet is a set of pods, split by the nodes on which they run.
type podSet struct {
	key    string
	id     model.SetID
	list   []int32
	byNode []nodePods
}

type nodePods struct {
	node int32
	uids []string // sorted
}

// numbered is a port and the pods that have it.
type numbered struct {
	number uint16
	pods   []int32
}

func sortedPorts(m map[uint16][]int32) []numbered {
	var out []numbered
	for number, pods := range m {
		out = append(out, numbered{number, pods})
	}
	slices.SortFunc(out, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	return out
}

// id of a set by what was asked for: half of a SHA-256 in hexadecimal digits.
func id(kind, key string) model.SetID {
	sum := sha256.Sum256([]byte(key))
	return model.SetID(kind + "/" + hex.EncodeToString(sum[:8]))
}

// selected are the pods that a policy is about.
func (b *build) selected(q query) *podSet {
	key := q.key()
	if s, ok := b.pods[key]; ok {
		return s
	}
	return b.podSet(key, b.ix.find(q))
}

// podSet is the set of that key.
func (b *build) podSet(key string, list []int32) *podSet {
	if s, ok := b.pods[key]; ok {
		return s
	}
	s := &podSet{key: key, id: id("pods", key), list: list}
	b.pods[key] = s
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(x, y int32) int {
		p, q := &b.ix.pods[x], &b.ix.pods[y]
		return cmp.Or(cmp.Compare(p.node, q.node), strings.Compare(p.UID, q.UID))
	})
	for _, i := range sorted {
		p := &b.ix.pods[i]
		if p.node < 0 {
			continue
		}
		if n := len(s.byNode); n == 0 || s.byNode[n-1].node != p.node {
			s.byNode = append(s.byNode, nodePods{node: p.node})
		}
		n := &s.byNode[len(s.byNode)-1]
		n.uids = append(n.uids, p.UID)
	}
	return s
}

// isolate closes a direction of the pods.
func (b *build) isolate(pods *podSet, d model.Direction) {
	for _, n := range pods.byNode {
		node := &b.nodes[n.node]
		if d == model.Ingress {
			node.ingress = append(node.ingress, n.uids...)
		} else {
			node.egress = append(node.egress, n.uids...)
		}
	}
}

// set makes the set of the peers; empty for everybody.
func (b *build) set(p *peers) model.SetID {
	if p.anybody {
		return ""
	}
	id := id("peers", p.key)
	if _, ok := b.sets[id]; ok {
		return id
	}
	addrs := make([]netip.Addr, 0, len(p.pods))
	for _, i := range p.pods {
		addrs = append(addrs, b.ix.pods[i].addresses...)
	}
	list := union(p.blocks, addrs)
	if before := b.last[id].Prefixes; slices.Equal(before, list) {
		list = before // nil for none
	}
	b.sets[id] = model.Set{Prefixes: list}
	return id
}

// allow adds a rule to all nodes that have some of the pods. No peer is
// everybody.
func (b *build) allow(d model.Direction, pods *podSet, r model.PodRule, peer model.SetID) {
	r.Pods = pods.id
	if r.Anybody = peer == ""; !r.Anybody {
		r.Peers = []model.SetID{peer}
	}
	for _, n := range pods.byNode {
		node := &b.nodes[n.node]
		if node.sets == nil {
			node.sets = map[model.SetID]model.Set{}
		}
		node.sets[pods.id] = model.Set{Pods: n.uids}
		if !r.Anybody {
			node.sets[peer] = b.sets[peer]
		}
		if d == model.Ingress {
			node.rules.Ingress = append(node.rules.Ingress, r)
		} else {
			node.rules.Egress = append(node.rules.Egress, r)
		}
	}
}

// know tells the nodes which pods of guarded namespaces the rules are about.
func (b *build) know(guarded []string) {
	for _, name := range guarded {
		n, ok := b.ix.numbers[name]
		if !ok {
			continue
		}
		for _, i := range b.ix.byNS[n] {
			if p := &b.ix.pods[i]; p.node >= 0 {
				node := &b.nodes[p.node]
				node.rules.Known = append(node.rules.Known, p.UID)
			}
		}
	}
}

// The sets of isolated pods.
const (
	isolatedIngress model.SetID = "pods/isolated-ingress"
	isolatedEgress  model.SetID = "pods/isolated-egress"
)

// result is what a node is to have.
func (n *nodeBuild) result(guarded []string) *Result {
	r := &Result{Rules: n.rules, Sets: n.sets}
	r.Rules.Guarded = guarded
	slices.Sort(r.Rules.Known)
	r.Rules.Known = slices.Compact(r.Rules.Known)
	isolated := func(id model.SetID, uids []string) model.SetID {
		if len(uids) == 0 {
			return ""
		}
		if r.Sets == nil {
			r.Sets = map[model.SetID]model.Set{}
		}
		slices.Sort(uids)
		r.Sets[id] = model.Set{Pods: slices.Compact(uids)}
		return id
	}
	r.Rules.IsolatedIngress = isolated(isolatedIngress, n.ingress)
	r.Rules.IsolatedEgress = isolated(isolatedEgress, n.egress)
	return r
}

func equalResults(a, b *Result) bool {
	return slices.Equal(a.Rules.Known, b.Rules.Known) && slices.Equal(a.Rules.Guarded, b.Rules.Guarded) &&
		a.Rules.IsolatedIngress == b.Rules.IsolatedIngress && a.Rules.IsolatedEgress == b.Rules.IsolatedEgress &&
		slices.EqualFunc(a.Rules.Ingress, b.Rules.Ingress, equalRules) &&
		slices.EqualFunc(a.Rules.Egress, b.Rules.Egress, equalRules) &&
		maps.EqualFunc(a.Sets, b.Sets, func(x, y model.Set) bool {
			return slices.Equal(x.Prefixes, y.Prefixes) && slices.Equal(x.Pods, y.Pods)
		})
}

func equalRules(a, b model.PodRule) bool {
	return a.ID == b.ID && a.Pods == b.Pods && a.Anybody == b.Anybody && a.Protocol == b.Protocol &&
		slices.Equal(a.Peers, b.Peers) && slices.Equal(a.Ports, b.Ports)
}
