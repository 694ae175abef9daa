package model

import "net/netip"

// LinkMark is the mark (SO_MARK) of the sockets by which kedge itself reaches
// its servers, whatever address, proxy or port they go to. What has it passes.
// It has neither of the bits of kube-proxy (0x4000, 0x8000).
const LinkMark uint32 = 0x6b650000

// RejectMark is on a packet from where it was refused to where the kernel can
// answer it.
const RejectMark uint32 = 0x6b650001

// Facts are what a node knows of itself and no rule can take from it. They
// never come from a server.
type Facts struct {
	// Servers are the servers' present addresses and ports, as the node dials
	// them, proxies on the way included.
	Servers []netip.AddrPort `json:"servers,omitempty"`
	// Door is the port of the server on this machine; 0 where there is none.
	// Strangers reach it at a limited rate, and what they may ask there the
	// server decides (the door of [Facts] stands before all rules).
	Door uint16 `json:"door,omitempty"`
	// Resolvers and TimeServers are those that the host is configured with.
	Resolvers   []netip.Addr `json:"resolvers,omitempty"`
	TimeServers []netip.Addr `json:"timeServers,omitempty"`
	// Failsafe may always reach these ports of the node by TCP.
	Failsafe []Failsafe `json:"failsafe,omitempty"`
	// PodRange is the node's own pod range, PodLink and RelayLink are the devices
	// by which packets of pods of this and of other nodes come.
	PodRange  netip.Prefix `json:"podRange"`
	PodLink   string       `json:"podLink"`
	RelayLink string       `json:"relayLink"`
	// Services is the range of service addresses.
	Services netip.Prefix `json:"services"`
	// ClusterDNS and API are addresses on this machine that pods always reach as
	// far as host rules are concerned: port 53 of the one, APIPorts of the other.
	ClusterDNS netip.Addr `json:"clusterDNS"`
	API        netip.Addr `json:"api"`
	APIPorts   []uint16   `json:"apiPorts,omitempty"`
}

// Failsafe is one entry of the list --failsafe.
type Failsafe struct {
	From netip.Prefix `json:"from"`
	Port uint16       `json:"port"`
}
