package model

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// Firewall is one EdgeFirewall as it was written and found valid.
type Firewall struct {
	Name       string
	Generation int64
	Created    time.Time
	// Nodes chooses nodes by their labels.
	Nodes labels.Selector
	// Priority is 0 to 1000; lower ones are asked first. Of equal ones the older
	// is, then the one with the lower name.
	Priority int32
	OnChange OnChange
	Ingress  Section
	Egress   Section
}

// Section is what a firewall says of one direction.
type Section struct {
	// Rules in order; the first that matches decides, [Log] aside.
	Rules []Rule
	// Default decides what no rule of any firewall matched. Of several that
	// select a node, the first one's that is not Pass counts.
	Default Action
}

// Rule is one rule as it was written.
type Rule struct {
	// Name is unique in its section: the name given, or "rule-N", counted from 1.
	Name     string
	Action   Action
	Protocol Protocol
	// Ports are those of the destination; none for all. TCP and UDP only.
	Ports []PortRange
	// Peers are the other ends: sources of ingress, destinations of egress. None
	// for everybody.
	Peers       []Peer
	Rate        *RateLimit
	Connections *ConnectionLimit
	// Log notes what the rule decides, at a limited rate.
	Log bool
}

// Peer is one kind of other end. Exactly one of its fields is set, Except
// aside.
type Peer struct {
	CIDR netip.Prefix
	// Except are parts of CIDR.
	Except []netip.Prefix
	// AddressSet is the name of one.
	AddressSet string
	// Nodes are the present addresses of the nodes that it chooses.
	Nodes labels.Selector
	// Cluster are all nodes, all pods and all service addresses.
	Cluster bool
	// Servers are the servers of the cluster.
	Servers bool
	// DNS is a name that each node resolves for itself.
	DNS string
}

// AddressSet is an AddressSet with all its sources together.
type AddressSet struct {
	Name string
	// Prefixes are sorted and without repetitions, at most 100,000.
	Prefixes []netip.Prefix
}
