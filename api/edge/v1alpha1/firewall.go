package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EdgeFirewall says what hosts of the fleet let in and let out: their processes,
// pods in their network, node ports, host ports and load balancers. Traffic of
// other pods is for network policies.
//
// Of all firewalls that select a node, the rules of the one with the lowest
// priority are asked first; of equal ones those of the older, then of the one
// with the lower name. The first rule that matches decides. If none does, the
// first default counts. A direction for which nobody has a default is left to the
// other firewalls of the host.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=efw,categories=kedge
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.selected`
// +kubebuilder:printcolumn:name="Applied",type=integer,JSONPath=`.status.nodes.applied`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.nodes.pending`
// +kubebuilder:printcolumn:name="RolledBack",type=integer,JSONPath=`.status.nodes.rolledBack`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.nodes.failed`
// +kubebuilder:printcolumn:name="Slowest",type=date,JSONPath=`.status.slowest.since`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",messageExpression="'the name ' + self.metadata.name + ' is too long: rules are named FIREWALL/ingress/RULE in logs and counters, so use at most 63 characters'"
type EdgeFirewall struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec EdgeFirewallSpec `json:"spec"`
	// +optional
	Status EdgeFirewallStatus `json:"status,omitempty"`
}

// DefaultFirewallPriority is that of a firewall that names none.
const DefaultFirewallPriority = 500

// EdgeFirewallSpec is what is wanted.
//
// +kubebuilder:validation:XValidation:rule="has(self.ingress) || has(self.egress)",message="this firewall says nothing: give it ingress, egress or both"
type EdgeFirewallSpec struct {
	// NodeSelector chooses nodes by their labels. Absent or empty, the firewall is
	// for all nodes.
	// +optional
	NodeSelector *NodeSelector `json:"nodeSelector,omitempty"`
	// Priority orders firewalls: 0 to 1000, lower ones are asked first.
	// +optional
	// +kubebuilder:default=500
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 1000",message="this is no priority: use 0 to 1000, where 0 is asked first and 500 is the usual one"
	Priority *int32 `json:"priority,omitempty"`
	// OnChange says what becomes of established connections that the rules would
	// not let begin any more: keep lets them go on, cut ends them. A node cuts if
	// any of its firewalls says so.
	// +optional
	// +kubebuilder:default=keep
	OnChange FirewallOnChange `json:"onChange,omitempty"`
	// Ingress is about what comes to the host. Ports are those that the client
	// used, before any translation.
	// +optional
	Ingress *FirewallSection `json:"ingress,omitempty"`
	// Egress is about what processes of the host and pods in its network send.
	// +optional
	Egress *FirewallSection `json:"egress,omitempty"`
}

// FirewallOnChange says what becomes of established connections.
//
// +kubebuilder:validation:Enum=keep;cut
type FirewallOnChange string

// What becomes of established connections.
const (
	FirewallKeep FirewallOnChange = "keep"
	FirewallCut  FirewallOnChange = "cut"
)

// FirewallSection is what a firewall says of one direction.
//
// +kubebuilder:validation:XValidation:rule="has(self.default) || has(self.rules)",message="neither rules nor default: give it one of them, or leave the direction out"
// +kubebuilder:validation:XValidation:rule="!has(self.rules) || [self.rules.filter(r, has(r.name)).map(r, r.name)].all(names, names.all(n, names.indexOf(n) == names.lastIndexOf(n)))",message="two rules of this direction have the same name: counters and logs could not tell them apart"
type FirewallSection struct {
	// Default decides what no rule of any firewall matches. Absent, this firewall
	// has no opinion.
	// +optional
	Default FirewallDefault `json:"default,omitempty"`
	// Rules are asked in order, at most 256.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Rules []FirewallRule `json:"rules,omitempty"`
}

// FirewallDefault is what becomes of what no rule matches.
//
// +kubebuilder:validation:Enum=allow;deny;reject
type FirewallDefault string

// FirewallAction is what becomes of what a rule matches: deny drops it without an
// answer, reject answers (TCP: reset, others: ICMP port unreachable), log notes it
// at a limited rate and goes on to the next rule.
//
// +kubebuilder:validation:Enum=allow;deny;reject;log
type FirewallAction string

// FirewallProtocol is a transport protocol; icmp is ICMPv6, too.
//
// +kubebuilder:validation:Enum=any;tcp;udp;icmp
type FirewallProtocol string

// FirewallBy says what a limit counts by: each source address for itself, or all
// that the rule matches together.
//
// +kubebuilder:validation:Enum=source;rule
type FirewallBy string

// FirewallInterval is the time that a rate is about.
//
// +kubebuilder:validation:Enum=second;minute;hour
type FirewallInterval string
