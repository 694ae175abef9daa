package hub

import (
	"net"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/tunnel"
)

// Remotes returns the addresses that a node's lanes come from now, as this
// server sees them, without repetitions: that of the control lane first. A node
// that has several ways out, or that is just changing from one to another, has
// several. None while it is not connected.
func (h *Hub) Remotes(name tunnel.NodeName) []netip.Addr {
	l := h.current(name)
	if l == nil {
		return nil
	}
	addrs := appendAddr(nil, l.control.RemoteAddr())
	l.mu.Lock()
	defer l.mu.Unlock()
	var more []netip.Addr
	for _, at := range l.lanes {
		more = appendAddr(more, at.RemoteAddr())
	}
	slices.SortFunc(more, netip.Addr.Compare)
	for _, a := range more {
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// Connected returns the names of the nodes that have a link now, sorted.
func (h *Hub) Connected() []tunnel.NodeName {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []tunnel.NodeName
	for name, n := range h.nodes {
		if n.link != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func appendAddr(addrs []netip.Addr, a net.Addr) []netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil || slices.Contains(addrs, at.Addr().Unmap()) {
		return addrs
	}
	return append(addrs, at.Addr().Unmap())
}
