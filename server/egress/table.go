package egress

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Node is what the table needs to know of a node.
type Node struct {
	Name tunnel.NodeName
	// Created decides between nodes that claim one pod range.
	Created time.Time
	// PodRanges are the node's pod CIDRs.
	PodRanges []netip.Prefix
	// Addresses are its internal addresses, as the node says.
	Addresses []netip.Addr
}

func (n Node) equal(o Node) bool {
	return n.Name == o.Name && n.Created.Equal(o.Created) &&
		slices.Equal(n.PodRanges, o.PodRanges) && slices.Equal(n.Addresses, o.Addresses)
}

// AmbiguousError says that an address cannot be dialled because several nodes
// have it.
type AmbiguousError struct {
	Addr netip.Addr
	// Nodes are the names, sorted.
	Nodes []tunnel.NodeName
}

// Error names the nodes and what to do.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("address %s is that of nodes %q: the server cannot tell which one is meant; "+
		"start them with different --node-ip, or without it: then each has an address of its own", e.Addr, e.Nodes)
}

// UnknownPodError says that an address is inside the cluster's pod range and
// no node has it.
type UnknownPodError struct{ Addr netip.Addr }

// Error says what to look at.
func (e *UnknownPodError) Error() string {
	return fmt.Sprintf("pod address %s is in the pod range of no node: "+
		"its node was deleted or has no range yet, see it with: kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDR", e.Addr)
}

// Table knows which node an address belongs to. Its methods may be called from
// any goroutine.
type Table struct {
	cluster netip.Prefix
	own     map[netip.Addr]bool
	local   tunnel.NodeName

	mu    sync.Mutex
	nodes map[tunnel.NodeName]Node
	// ranges and claims are derived from nodes.
	ranges map[netip.Prefix]tunnel.NodeName
	bits   []int // lengths of the prefixes in ranges, longest first
	claims map[netip.Addr][]tunnel.NodeName
	// changed is closed at the next change; nil while nobody waits.
	changed chan struct{}
}

// NewTable returns an empty table. cluster is the pod range of the whole
// cluster, own are the server's own addresses, local is the server's own node
// or empty.
func NewTable(cluster netip.Prefix, own []netip.Addr, local tunnel.NodeName) *Table {
	t := &Table{cluster: cluster.Masked(), own: map[netip.Addr]bool{}, local: local, nodes: map[tunnel.NodeName]Node{}}
	for _, a := range own {
		t.own[a.Unmap()] = true
	}
	return t
}

// Set adds a node or replaces what was known of it.
func (t *Table) Set(n Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.nodes[n.Name]; ok && old.equal(n) {
		return
	}
	t.nodes[n.Name] = n
	t.dirty()
}

// Delete forgets a node.
func (t *Table) Delete(name tunnel.NodeName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.nodes[name]; ok {
		delete(t.nodes, name)
		t.dirty()
	}
}

// dirty drops what is derived; the next Find derives it anew, so that the
// first list of a thousand nodes is not sorted a thousand times.
func (t *Table) dirty() {
	t.ranges, t.claims, t.bits = nil, nil, nil
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// Find returns the node that addr belongs to; empty if it is not an address of
// the cluster. The error is an *AmbiguousError or an *UnknownPodError.
func (t *Table) Find(addr netip.Addr) (tunnel.NodeName, error) {
	addr = addr.Unmap().WithZone("")
	if t.own[addr] {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ranges == nil {
		t.derive()
	}
	if t.cluster.Contains(addr) {
		return t.pod(addr)
	}
	switch names := t.claims[addr]; {
	case len(names) == 0:
		return "", nil
	case len(names) == 1:
		return names[0], nil
	case t.local != "" && slices.Contains(names, t.local):
		// The server stands in its own network, the other one does not.
		return t.local, nil
	default:
		return "", &AmbiguousError{Addr: addr, Nodes: slices.Clone(names)}
	}
}

func (t *Table) pod(addr netip.Addr) (tunnel.NodeName, error) {
	for _, bits := range t.bits {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		if name, ok := t.ranges[p]; ok {
			return name, nil
		}
	}
	return "", &UnknownPodError{Addr: addr}
}

// derive builds the maps. A range belongs to the oldest node that has it, and
// ranges outside the cluster's and addresses that no other machine can have are
// not believed.
func (t *Table) derive() {
	nodes := make([]Node, 0, len(t.nodes))
	for _, n := range t.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	t.ranges, t.claims, t.bits = map[netip.Prefix]tunnel.NodeName{}, map[netip.Addr][]tunnel.NodeName{}, nil
	for _, n := range nodes {
		t.addRanges(n)
		for _, a := range n.Addresses {
			// Loopback and the like are the server's own for whoever names them.
			if a.IsGlobalUnicast() {
				t.claims[a] = append(t.claims[a], n.Name)
			}
		}
	}
	for _, names := range t.claims {
		slices.Sort(names)
	}
	slices.SortFunc(t.bits, func(a, b int) int { return b - a })
}

func (t *Table) addRanges(n Node) {
	for _, p := range n.PodRanges {
		p = p.Masked()
		if !t.cluster.Contains(p.Addr()) || p.Bits() < t.cluster.Bits() || t.overlaps(p) {
			continue
		}
		t.ranges[p] = n.Name
		if !slices.Contains(t.bits, p.Bits()) {
			t.bits = append(t.bits, p.Bits())
		}
	}
}

// overlaps tells whether an older node has p or a part of it. All ranges of a
// cluster usually have one length, for which the map answers.
func (t *Table) overlaps(p netip.Prefix) bool {
	if _, ok := t.ranges[p]; ok {
		return true
	}
	if len(t.bits) == 0 || (len(t.bits) == 1 && t.bits[0] == p.Bits()) {
		return false
	}
	for other := range t.ranges {
		if other.Overlaps(p) {
			return true
		}
	}
	return false
}
