package network

import "net/netip"

// Facts are everything that the plan of a node's pod network is made from.
type Facts struct {
	// PodCIDR is the IPv4 range that the cluster gave to this node.
	PodCIDR netip.Prefix
	// Peers are the other nodes, in any order.
	Peers []Peer
	// Uplinks are the host's own links with their addresses.
	Uplinks []Uplink
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
	// Address is the node's InternalIP.
	Address netip.Addr `json:"address"`
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
