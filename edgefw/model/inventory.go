package model

import "net/netip"

// Inventory is the fleet as a server knows it.
type Inventory struct {
	// Nodes by name.
	Nodes []Node
	// Servers are further addresses of the servers, such as those of
	// --advertise-address and of certificates.
	Servers []netip.Addr
	// Pods and Services are the cluster's ranges.
	Pods, Services []netip.Prefix
	// AddressSets by name.
	AddressSets map[string]AddressSet
	// Balanced are services of type LoadBalancer.
	Balanced []Balanced
}

// Node is what is known of one node.
type Node struct {
	Name   string
	Labels map[string]string
	// Server tells that it is a server's own node.
	Server bool
	// Public are the addresses that the servers see it come from.
	Public []netip.Addr
	// Reported are addresses that the node says it has; they may be private, those
	// of other nodes or a lie, so only its own site believes them.
	Reported []netip.Addr
	// PodRanges are its pods' ranges.
	PodRanges []netip.Prefix
}

// Balanced is a service whose ports its nodes open.
type Balanced struct {
	// Name is "namespace/name".
	Name  string
	Ports []BalancedPort
	// Sources may reach it; none for everybody.
	Sources []netip.Prefix
	// Nodes are the names of those that offer it.
	Nodes []string
}

// BalancedPort is one port of a service.
type BalancedPort struct {
	Protocol Protocol
	Port     uint16
}
