package access

import (
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/tunnel"
)

// KubeletPort is the port that a kubelet serves on unless told otherwise.
const KubeletPort = 10250

// Rules is what one node knows about itself. The zero value refuses all.
type Rules struct {
	// KubeletPort is the port of the node's kubelet on 127.0.0.1 and ::1;
	// 0 means that no kubelet may be dialled.
	KubeletPort uint16
	// PodRanges are the node's own pod CIDRs; empty while they are unknown.
	PodRanges []netip.Prefix
	// HostAddresses are further addresses of the host: its internal ones. They
	// are refused even inside a pod range, except at HostPorts. The first
	// address of each range, which the bridge of the pod network has, need not
	// be listed.
	HostAddresses []netip.Addr
	// HostPorts are the TCP ports that pods in the host's network declare.
	// They may be dialled at HostAddresses and at the first address of each
	// pod range. Nobody changes the map any more.
	HostPorts map[uint16]bool
}

// Allow returns the address to dial for t, or a *tunnel.RefusedError. Callers
// dial what is returned and never the text of the target, so that there is one
// reading of it.
func (r Rules) Allow(t tunnel.Target) (netip.AddrPort, error) {
	if t.Network != tunnel.NetworkTCP {
		return netip.AddrPort{}, refuse(t, "only network %q may be dialled", tunnel.NetworkTCP)
	}
	ap, err := netip.ParseAddrPort(t.Address)
	if err != nil {
		return netip.AddrPort{}, refuse(t, "the address is not IP:port")
	}
	addr := ap.Addr().Unmap()
	ap = netip.AddrPortFrom(addr, ap.Port())
	switch {
	case addr.Zone() != "" || ap.Port() == 0:
		return netip.AddrPort{}, refuse(t, "the address has a zone or no port")
	case r.isKubelet(ap):
		return ap, nil
	case !addr.IsGlobalUnicast():
		return netip.AddrPort{}, refuse(t, "on the node itself only the kubelet may be dialled")
	case r.isHost(addr):
		if !r.HostPorts[ap.Port()] {
			return netip.AddrPort{}, refuse(t, "no pod in the network of this host declares the port (ports of a container with hostNetwork: true)")
		}
	case !r.isPod(addr):
		return netip.AddrPort{}, refuse(t, "the address is not that of a pod on this node")
	}
	return ap, nil
}

func (r Rules) isKubelet(ap netip.AddrPort) bool {
	if r.KubeletPort == 0 || ap.Port() != r.KubeletPort {
		return false
	}
	return ap.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ap.Addr() == netip.IPv6Loopback()
}

// isHost knows the addresses of the host that are unique in the cluster.
func (r Rules) isHost(addr netip.Addr) bool {
	for _, host := range r.HostAddresses {
		if addr == host.Unmap() {
			return true
		}
	}
	for _, p := range r.PodRanges {
		if addr == p.Masked().Addr().Next() {
			return true
		}
	}
	return false
}

func (r Rules) isPod(addr netip.Addr) bool {
	for _, p := range r.PodRanges {
		p = p.Masked()
		if !p.Contains(addr) {
			continue
		}
		// The first address names the range, the last of an IPv4 range is its
		// broadcast.
		return addr != p.Addr() && (addr.Is6() || p.Contains(addr.Next()))
	}
	return false
}

func refuse(t tunnel.Target, format string, args ...any) error {
	return &tunnel.RefusedError{What: "dial " + t.String(), Kind: tunnel.RefusedAccess, Reason: fmt.Sprintf(format, args...)}
}
