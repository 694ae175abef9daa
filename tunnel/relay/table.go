package relay

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/kedge-io/kedge/tunnel"
)

// table is what one version of the routes says. It is not changed once the
// switch uses it, except for what is atomic.
type table struct {
	members map[tunnel.NodeName]*member
	// lengths are the prefix lengths that occur, the longest first. A cluster
	// has one, as its controller gives every node a range of the same size.
	lengths []int
	ranges  map[netip.Prefix]*member
}

// member is a node as the switch sees it. It outlives a table.
type member struct {
	name tunnel.NodeName
	port atomic.Pointer[Port] // nil: behind a link
	// answered is when the node was last told of an unknown destination, in
	// Unix nanoseconds.
	answered atomic.Int64
	counters
}

func newTable(routes map[netip.Prefix]tunnel.NodeName, last *table) *table {
	t := &table{members: map[tunnel.NodeName]*member{}, ranges: make(map[netip.Prefix]*member, len(routes))}
	for prefix, name := range routes {
		m := t.members[name]
		if m == nil {
			m = last.members[name]
		}
		if m == nil {
			m = &member{name: name}
		}
		t.members[name] = m
		t.ranges[prefix.Masked()] = m
		if !slices.Contains(t.lengths, prefix.Bits()) {
			t.lengths = append(t.lengths, prefix.Bits())
		}
	}
	slices.Sort(t.lengths)
	slices.Reverse(t.lengths)
	return t
}

func (t *table) lookup(addr netip.Addr) *member {
	for _, bits := range t.lengths {
		prefix, err := addr.Prefix(bits)
		if err != nil {
			continue // the length of another family
		}
		if m := t.ranges[prefix]; m != nil {
			return m
		}
	}
	return nil
}

func (m *member) attach(p Port) {
	if p == nil {
		m.port.Store(nil)
		return
	}
	m.port.Store(&p)
}
