package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxFirewallProblems is how many nodes the status of a firewall names.
const MaxFirewallProblems = 20

// EdgeFirewallStatus sums up what the nodes have acknowledged.
type EdgeFirewallStatus struct {
	// ObservedGeneration is that of the spec which the figures are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Revision is the newest that contains this generation; it rises with every
	// change of what nodes are to enforce, whatever the reason.
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// Nodes are how many there are in which state.
	// +optional
	Nodes FirewallNodes `json:"nodes,omitempty"`
	// Slowest is the node that has been behind for the longest time; absent if none
	// is.
	// +optional
	Slowest *FirewallSlowest `json:"slowest,omitempty"`
	// Problems are nodes that do not enforce it and why, at most 20, the longest
	// lasting first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Problems []FirewallProblem `json:"problems,omitempty"`
	// Conditions are Accepted and Enforced.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// FirewallNodes counts nodes. Each of the selected ones is in one of the other
// states.
type FirewallNodes struct {
	// Selected is how many the firewall is for.
	Selected int32 `json:"selected"`
	// Applied is how many enforce it and have proven that they still reach a
	// server.
	Applied int32 `json:"applied"`
	// Pending is how many have yet to acknowledge it, nodes without a link among
	// them: they go on with what they had.
	Pending int32 `json:"pending"`
	// RolledBack is how many lost their server with it and went back to what they
	// had before.
	RolledBack int32 `json:"rolledBack"`
	// Failed is how many could not apply it.
	Failed int32 `json:"failed"`
	// Unsupported is how many run an agent that has no firewall.
	// +optional
	Unsupported int32 `json:"unsupported,omitempty"`
}

// FirewallSlowest is the node that is behind for the longest time.
type FirewallSlowest struct {
	// Node is its name.
	Node string `json:"node"`
	// Since is when that became due which it has not acknowledged.
	Since metav1.Time `json:"since"`
	// Revision is what it has; 0 if that is not known.
	// +optional
	Revision int64 `json:"revision,omitempty"`
}

// FirewallProblem is a node that does not enforce a firewall.
type FirewallProblem struct {
	// Node is its name.
	Node string `json:"node"`
	// State is a word for programs.
	State FirewallNodeState `json:"state"`
	// Reason is for people.
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason"`
	// Revision is the one that this is about.
	// +optional
	Revision int64 `json:"revision,omitempty"`
}

// FirewallNodeState is the state of a node as to a firewall.
//
// +kubebuilder:validation:Enum=Applied;Pending;RolledBack;Failed;Unsupported
type FirewallNodeState string

// States of a node, as [FirewallNodes] counts them.
const (
	FirewallNodeApplied     FirewallNodeState = "Applied"
	FirewallNodePending     FirewallNodeState = "Pending"
	FirewallNodeRolledBack  FirewallNodeState = "RolledBack"
	FirewallNodeFailed      FirewallNodeState = "Failed"
	FirewallNodeUnsupported FirewallNodeState = "Unsupported"
)

// EdgeFirewallList is a list of firewalls.
//
// +kubebuilder:object:root=true
type EdgeFirewallList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []EdgeFirewall `json:"items"`
}
