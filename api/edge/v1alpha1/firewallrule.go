package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/intstr"
)

// FirewallRule is one rule.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || has(self.protocol) && self.protocol in ['tcp', 'udp']",message="ports need a protocol that has them: add protocol tcp or udp"
// +kubebuilder:validation:XValidation:rule="!has(self.rate) && !has(self.connections) || self.action == 'allow'",messageExpression="'rate and connections limit what a rule allows, and this one has action ' + self.action + ': use allow; what exceeds the limit is dropped'"
// +kubebuilder:validation:XValidation:rule="!has(self.log) || !self.log || self.action != 'log'",message="a rule with action log logs already: leave log out"
type FirewallRule struct {
	// Name is the word for the rule in counters, logs and explanations, unique in
	// its direction. Without one it is rule-N, counted from 1.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="this is no name for a rule: use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^rule-[0-9]+$')",message="rule-N are the names of rules without a name: use a word that says what the rule is for"
	Name string `json:"name,omitempty"`
	// Action is what becomes of what the rule matches.
	Action FirewallAction `json:"action"`
	// Protocol is tcp, udp, icmp or any. Absent it is any.
	// +optional
	Protocol FirewallProtocol `json:"protocol,omitempty"`
	// Ports are those of the destination, numbers or ranges such as "8000-8010", at
	// most 64. Absent, all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:XIntOrString
	// +kubebuilder:validation:items:MaxLength=11
	// +kubebuilder:validation:items:XValidation:rule="string(self).matches('^[0-9]{1,5}(-[0-9]{1,5})?$') && string(self).split('-').all(p, int(p) >= 1 && int(p) <= 65535) && int(string(self).split('-')[0]) <= int(string(self).split('-')[size(string(self).split('-')) - 1])",message="this is no port: write a number from 1 to 65535, or a range such as \"8000-8010\" with the lower one first"
	Ports []intstr.IntOrString `json:"ports,omitempty"`
	// Peers are the other ends, any of which may match: where ingress comes from,
	// where egress goes. At most 32. Absent, everybody.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Peers []FirewallPeer `json:"peers,omitempty"`
	// Rate bounds how many new connections (with UDP and ICMP: packets that begin a
	// flow) are allowed. What exceeds it is dropped.
	// +optional
	Rate *FirewallRate `json:"rate,omitempty"`
	// Connections bounds how many connections are open at a time. What exceeds it
	// is dropped.
	// +optional
	Connections *FirewallConnections `json:"connections,omitempty"`
	// Log notes what the rule decides, at a limited rate.
	// +optional
	Log bool `json:"log,omitempty"`
}

// FirewallPeer is one kind of other end.
//
// +kubebuilder:validation:XValidation:rule="[has(self.cidr), has(self.addressSet), has(self.nodeSelector), has(self.cluster), has(self.servers), has(self.dns)].filter(x, x).size() == 1",message="a peer has exactly one of cidr, addressSet, nodeSelector, cluster, servers and dns: write several peers for several of them"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || has(self.cidr)",message="except takes parts out of a cidr: add the cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || !has(self.cidr) || !isCIDR(self.cidr) || self.except.all(e, !isCIDR(e) || cidr(self.cidr).containsCIDR(e))",messageExpression="'except ' + self.except.join(', ') + ': each must lie within cidr ' + self.cidr"
type FirewallPeer struct {
	// CIDR is a range of addresses, for instance 203.0.113.0/24 or 2001:db8::/32;
	// one address is /32 or /128.
	// +optional
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="this is no range of addresses: write for instance 203.0.113.0/24, 2001:db8::/32, or 203.0.113.7/32 for one address"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="this has bits beyond its prefix: write the first address of the range, or /32 (/128) for this one address"
	CIDR string `json:"cidr,omitempty"`
	// Except are parts of the cidr that are left out, at most 16.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="this is no range of addresses: write for instance 203.0.113.0/24, or 203.0.113.7/32 for one address"
	// +kubebuilder:validation:items:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",message="this has bits beyond its prefix: write the first address of the range, or /32 (/128) for this one address"
	Except []string `json:"except,omitempty"`
	// AddressSet is the name of an AddressSet. One that does not exist matches
	// nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="this is not the name of an AddressSet: use a-z, 0-9, - and ., with a letter or digit at both ends"
	AddressSet string `json:"addressSet,omitempty"`
	// NodeSelector chooses nodes: all addresses that they have now. Empty, all
	// nodes.
	// +optional
	NodeSelector *NodeSelector `json:"nodeSelector,omitempty"`
	// Cluster are all nodes, all pods and all service addresses.
	// +optional
	// +kubebuilder:validation:Enum=true
	Cluster bool `json:"cluster,omitempty"`
	// Servers are the servers of the cluster.
	// +optional
	// +kubebuilder:validation:Enum=true
	Servers bool `json:"servers,omitempty"`
	// DNS is a host name that each node resolves for itself, again when its records
	// expire.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$') && !self.contains('..')",message="this is no host name: write for instance time.example.org, in lower case, without * and without a dot at the end"
	// +kubebuilder:validation:XValidation:rule="!isIP(self)",message="this is an address: write it as cidr, with /32 or /128"
	DNS string `json:"dns,omitempty"`
}

// FirewallRate is how many in which time.
type FirewallRate struct {
	// Count is how many pass per interval: 1 to 10000.
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 10000",message="this is no count: use 1 to 10000"
	Count int32 `json:"count"`
	// Interval is second, minute or hour.
	// +optional
	// +kubebuilder:default=second
	Interval FirewallInterval `json:"interval,omitempty"`
	// Burst is how many pass at once after a quiet time: 1 to 10000. Absent, the
	// count.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 10000",message="this is no burst: use 1 to 10000"
	Burst *int32 `json:"burst,omitempty"`
	// By counts each source address for itself, or all that the rule matches.
	// +optional
	// +kubebuilder:default=source
	By FirewallBy `json:"by,omitempty"`
}

// FirewallConnections is how many at a time.
type FirewallConnections struct {
	// Max is how many may be open: 1 to 1000000.
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1000000",message="this is no number of connections: use 1 to 1000000"
	Max int32 `json:"max"`
	// By counts each source address for itself, or all that the rule matches.
	// +optional
	// +kubebuilder:default=source
	By FirewallBy `json:"by,omitempty"`
}
