package network

import (
	"net/netip"

	"github.com/kedge-io/kedge/agent/network/probe"
)

// Facts are everything that the plan of a node's pod network is made from.
type Facts struct {
	// PodCIDR is the IPv4 range that the cluster gave to this node.
	PodCIDR netip.Prefix
	// Peers are the other nodes, in any order.
	Peers []Peer
	// Direct are the peers, by name, that have proven to be on a link of this
	// host; all others are reached over the relay. Tried are those that may be.
	Direct, Tried map[string]Path
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
	// ProbeKey is the X25519 key by which the node proves that it is the one
	// that answers at such an address; empty when it published none.
	ProbeKey []byte `json:"probeKey,omitempty"`
}

// Path is a way to a peer that needs no relay.
type Path = probe.Path

// HostPort is a port that a pod in the host's network declares.
type HostPort struct {
	// Protocol is "tcp", "udp" or "sctp".
	Protocol string
	Port     uint16
}

// Uplink is a link of the host through which other nodes may be reached.
type Uplink struct {
	Name  string
	Index int
	// MTU in bytes.
	MTU int
	// Addresses are the link's own addresses with the length of their subnet.
	Addresses []netip.Prefix
}

// onLink returns the link on whose subnet addr lies. The host's own addresses
// are not on any link.
func onLink(uplinks []Uplink, addr netip.Addr) (link Uplink, ok bool) {
	bits := -1
	for _, u := range uplinks {
		for _, own := range u.Addresses {
			if own.Addr() == addr {
				return Uplink{}, false
			}
			if own.Masked().Contains(addr) && own.Bits() > bits {
				link, bits = u, own.Bits()
			}
		}
	}
	return link, bits >= 0
}

// candidates are the peers that have a key and an address on a subnet of this
// host: they may be near, or another site has the same subnet.
func candidates(f Facts, mtu int) []probe.Peer {
	var out []probe.Peer
	for _, p := range f.Peers {
		if len(p.ProbeKey) == 0 {
			continue
		}
		c := probe.Peer{Name: p.Name, Address: p.PodCIDR.Addr().Next(), Key: p.ProbeKey}
		for _, addr := range p.Addresses {
			if u, ok := onLink(f.Uplinks, addr); ok {
				c.Paths = append(c.Paths, Path{Gateway: addr, Link: u.Name, Index: u.Index, MTU: min(u.MTU, mtu)})
			}
		}
		if len(c.Paths) > 0 {
			out = append(out, c)
		}
	}
	return out
}
