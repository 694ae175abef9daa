package network

import "net/netip"

// Facts are everything that the plan of a node's pod network is made from.
type Facts struct {
	// PodCIDR is the IPv4 range that the cluster gave to this node.
	PodCIDR netip.Prefix
	// Peers are the other nodes, in any order.
	Peers []Peer
	// Direct are the peers, by name, that were heard on a link of this host;
	// all others are reached over the relay.
	Direct map[string]Path
	// Relay tells that the relay's device is there and up.
	Relay bool
	// HostPorts are the ports of pods in the host's network.
	HostPorts []HostPort
	// Uplinks are the host's own links with their addresses.
	Uplinks []Uplink
	// Default is the name of the link of the default route, "" for none.
	Default string
	// MTU of the device of the default route in bytes, 0 when there is none.
	MTU int
	// BridgeFilter tells that bridged IPv4 frames pass the host's IP rules
	// (br_netfilter, net.bridge.bridge-nf-call-iptables), as Docker has it.
	BridgeFilter bool
}

// Peer is another node of the cluster.
type Peer struct {
	Name    string       `json:"name"`
	PodCIDR netip.Prefix `json:"podCIDR"`
	// Addresses are those of the node in its site and those that a person
	// declared to be reachable from outside.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// ProbeKey is the Ed25519 key by which the node proves that it is the one
	// that answers at such an address; empty when it published none.
	ProbeKey []byte `json:"probeKey,omitempty"`
}

// Path is a way to a peer that needs no relay.
type Path struct {
	// Gateway is the peer's own address on the link.
	Gateway netip.Addr
	Link    string
}

// HostPort is a port that a pod in the host's network declares.
type HostPort struct {
	// Protocol is "tcp", "udp" or "sctp".
	Protocol string
	Port     uint16
}

// Uplink is a link of the host through which other nodes may be reached.
type Uplink struct {
	Name string
	// Addresses are the link's own addresses with the length of their subnet.
	Addresses []netip.Prefix
}

// onLink returns the link on whose subnet addr lies. The host's own addresses
// are not on any link.
func onLink(uplinks []Uplink, addr netip.Addr) (string, bool) {
	best, bits := "", -1
	for _, u := range uplinks {
		for _, own := range u.Addresses {
			if own.Addr() == addr {
				return "", false
			}
			if own.Masked().Contains(addr) && own.Bits() > bits {
				best, bits = u.Name, own.Bits()
			}
		}
	}
	return best, best != ""
}

// onLinkPeers are the peers that have an address on a subnet of this host.
func onLinkPeers(f Facts) map[string]Path {
	direct := map[string]Path{}
	for _, p := range f.Peers {
		for _, addr := range p.Addresses {
			if link, ok := onLink(f.Uplinks, addr); ok {
				direct[p.Name] = Path{Gateway: addr, Link: link}
				break
			}
		}
	}
	return direct
}
