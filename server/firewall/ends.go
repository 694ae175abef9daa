package firewall

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
	"github.com/kedge-io/kedge/edgefw/view"
)

// end is one end of a packet, found.
type end struct {
	view.End
	// at is its node's entry in the inventory; nil for the world outside.
	at *model.Node
	// pod is what it is, unless it is in its node's network.
	pod *netpol.Pod
}

// finder finds ends in one moment's inventory.
type finder struct {
	ctx context.Context
	api api
	inv model.Inventory
}

// find takes ADDRESS, NODE or NAMESPACE/POD, with :PORT behind it if there is
// one.
func (f finder) find(text string) (end, error) {
	name, port, err := splitPort(text)
	if err != nil {
		return end{}, err
	}
	e := end{End: view.End{Name: text}}
	switch namespace, pod, isPod := strings.Cut(name, "/"); {
	case isPod:
		err = f.pod(&e, namespace, pod)
	default:
		if addr, bad := netip.ParseAddr(name); bad == nil {
			err = f.address(&e, addr.Unmap().WithZone(""))
		} else {
			err = f.node(&e, name)
		}
	}
	e.Address = netip.AddrPortFrom(e.Address.Addr(), port)
	return e, err
}

// splitPort takes the port off; 0 without one.
func splitPort(text string) (name string, port uint16, err error) {
	if _, bad := netip.ParseAddr(text); bad == nil || text == "" {
		return text, 0, nil
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return text, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: port %q is not a number from 0 to 65535", text, digits)
	}
	return host, uint16(n), nil
}

func (f finder) node(e *end, name string) error {
	at := slices.IndexFunc(f.inv.Nodes, func(n model.Node) bool { return n.Name == name })
	if at < 0 {
		return fmt.Errorf("%q is no address, no node of the cluster and no NAMESPACE/POD", name)
	}
	e.at, e.Node = &f.inv.Nodes[at], name
	own, ok := ownAddress(*e.at)
	if !ok {
		return fmt.Errorf("no address of node %s is known yet", name)
	}
	e.Address = netip.AddrPortFrom(own, 0)
	return nil
}

func (f finder) pod(e *end, namespace, name string) error {
	o, err := f.api.pod(f.ctx, namespace, name)
	if err != nil {
		return fmt.Errorf("pod %s/%s: %w", namespace, name, err)
	}
	return f.found(e, o)
}

func (f finder) found(e *end, o *corev1.Pod) error {
	p := netpol.PodOf(o)
	e.Pod = p.Namespace + "/" + p.Name
	if p.Node == "" {
		return fmt.Errorf("pod %s has no node yet", e.Pod)
	}
	if err := f.node(e, p.Node); err != nil {
		return err
	}
	if p.HostNetwork {
		return nil // it is the node, as far as firewalls go
	}
	if len(p.Addresses) == 0 {
		return fmt.Errorf("pod %s has no address: it has not begun or has ended", e.Pod)
	}
	e.pod, e.Address = &p, netip.AddrPortFrom(p.Addresses[0], 0)
	return nil
}

// address looks for who has an address. One that several nodes come from is that
// of their site, and so of the world outside.
func (f finder) address(e *end, addr netip.Addr) error {
	var of []*model.Node
	for i := range f.inv.Nodes {
		n := &f.inv.Nodes[i]
		if slices.ContainsFunc(n.PodRanges, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			if o, err := f.api.podAt(f.ctx, n.Name, addr); err == nil && o != nil {
				return f.found(e, o)
			}
		}
		if slices.Contains(n.Public, addr) || slices.Contains(n.Reported, addr) {
			of = append(of, n)
		}
	}
	e.Address = netip.AddrPortFrom(addr, 0)
	if len(of) == 1 {
		e.at, e.Node = of[0], of[0].Name
	}
	return nil
}

// ownAddress is one that a node itself has.
func ownAddress(n model.Node) (netip.Addr, bool) {
	for _, list := range [][]netip.Addr{n.Reported, n.Public} {
		if len(list) > 0 {
			return list[0], true
		}
	}
	return netip.Addr{}, false
}

// ownSide is the address that an end itself knows: a node behind NAT does not have
// the one that others know of it.
func ownSide(e end) netip.AddrPort {
	if e.at == nil || e.pod != nil || slices.Contains(e.at.Reported, e.Address.Addr()) {
		return e.Address
	}
	for _, a := range e.at.Reported {
		if a.Is4() == e.Address.Addr().Is4() {
			return netip.AddrPortFrom(a, e.Address.Port())
		}
	}
	return e.Address
}

// seenAs is the address that an end has for a node: inside a site nodes meet by
// their own addresses, elsewhere by where they come from. What a node sends to
// pods comes from the first address of its pod range.
func seenAs(e, by end) netip.AddrPort {
	if e.at == nil || e.pod != nil {
		return e.Address
	}
	if by.pod != nil {
		if len(e.at.PodRanges) > 0 {
			return netip.AddrPortFrom(e.at.PodRanges[0].Addr().Next(), e.Address.Port())
		}
		return e.Address
	}
	named := slices.Contains(e.at.Public, e.Address.Addr())
	if by.at == nil || !shareSite(*e.at, *by.at) {
		if len(e.at.Public) > 0 && !named {
			return netip.AddrPortFrom(e.at.Public[0], e.Address.Port())
		}
	}
	return e.Address
}

func shareSite(a, b model.Node) bool {
	return a.Name == b.Name || slices.ContainsFunc(a.Public, func(addr netip.Addr) bool { return slices.Contains(b.Public, addr) })
}
