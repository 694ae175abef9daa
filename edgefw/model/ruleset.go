package model

import "net/netip"

// Ruleset is all that one node is to enforce. Nodes for which it is the same
// have it in common. It must not be changed once others have it.
//
// Its parts travel and are compared one by one: the host's rules, the pods'
// rules, and each set by its content.
type Ruleset struct {
	Host HostRules `json:"host"`
	Pods PodRules  `json:"pods"`
	// Sets are those that the rules name.
	Sets map[SetID]Set `json:"sets"`
}

// SetID names a set independently of its content, for example "cidr/10.0.0.0/8",
// "cidr/1f09..." (of several), "set/offices", "nodes/pool=shop", "cluster",
// "servers", "near/cluster" (private addresses of one's own site),
// "dns/time.example.org", "pods/..." and "peers/...". Two rules with the same
// peers have the same.
type SetID string

// Set is a set of addresses. Exactly one of its fields is used.
type Set struct {
	// Prefixes are of both families, disjoint, minimal, sorted by address.
	// Never one of length 0: "everywhere" is the absence of a set.
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	// Name is a DNS name that the node resolves.
	Name string `json:"name,omitempty"`
	// Pods are pods of the node, by UID, sorted; the node knows their addresses
	// before anybody else.
	Pods []string `json:"pods,omitempty"`
}

// HostRules are those of the node's own traffic: its processes, pods in its
// network, node ports, host ports and load balancers.
type HostRules struct {
	Ingress Chain `json:"ingress"`
	Egress  Chain `json:"egress"`
	// Cut ends established flows that the rules do not let begin, when the rules
	// or sets change.
	Cut bool `json:"cut,omitempty"`
}

// Chain is the rules of one direction, in order, over all firewalls.
type Chain struct {
	Rules []HostRule `json:"rules,omitempty"`
	// Default decides what no rule matched; DefaultFrom is the firewall that
	// says so.
	Default     Action `json:"default,omitempty"`
	DefaultFrom string `json:"defaultFrom,omitempty"`
}

// HostRule is one rule of the host.
type HostRule struct {
	// ID is "FIREWALL/ingress/RULE" ("egress"), or "service/NAMESPACE/NAME/PORT"
	// for ports that load balancers open. It is the word for the rule in
	// counters, logs and explanations; unique in a chain.
	ID       string      `json:"id"`
	Action   Action      `json:"action"`
	Protocol Protocol    `json:"protocol,omitempty"`
	Ports    []PortRange `json:"ports,omitempty"`
	// Peers: an address in any of these sets matches. Empty with Anybody false
	// matches nothing.
	Peers       []SetID          `json:"peers,omitempty"`
	Anybody     bool             `json:"anybody,omitempty"`
	Rate        *RateLimit       `json:"rate,omitempty"`
	Connections *ConnectionLimit `json:"connections,omitempty"`
	Log         bool             `json:"log,omitempty"`
}

// PodRules are the network policies of a node's own pods.
type PodRules struct {
	// Known are the UIDs of all pods of the node that these rules are about,
	// sorted. A pod in Guarded's namespaces that is not known gets nothing and
	// sends nothing until it is.
	Known []string `json:"known,omitempty"`
	// Guarded are the namespaces that have a policy, sorted.
	Guarded []string `json:"guarded,omitempty"`
	// IsolatedIngress and IsolatedEgress are sets of pods that get, or send,
	// only what a rule allows. Empty for none.
	IsolatedIngress SetID `json:"isolatedIngress,omitempty"`
	IsolatedEgress  SetID `json:"isolatedEgress,omitempty"`
	// Ingress and Egress allow; their order means nothing.
	Ingress []PodRule `json:"ingress,omitempty"`
	Egress  []PodRule `json:"egress,omitempty"`
}

// PodRule allows traffic of some pods.
type PodRule struct {
	// ID is "NAMESPACE/POLICY/ingress/N" ("egress"), N counted from 1 as in the
	// policy; several rules have the same where one was split.
	ID string `json:"id"`
	// Pods is a set of the node's own pods.
	Pods SetID `json:"pods"`
	// Peers as in [HostRule].
	Peers    []SetID     `json:"peers,omitempty"`
	Anybody  bool        `json:"anybody,omitempty"`
	Protocol Protocol    `json:"protocol,omitempty"`
	Ports    []PortRange `json:"ports,omitempty"`
}
