package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// NodeBandwidth is a node's report about its bandwidth. It has the name of the
// node; the node's agent writes it, and it alone may.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=nbw,categories=kedge
// +kubebuilder:printcolumn:name="Uplink",type=string,JSONPath=`.status.uplinks[0].device`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.uplinks[0].state`
// +kubebuilder:printcolumn:name="Egress",type=string,JSONPath=`.status.uplinks[0].egress`
// +kubebuilder:printcolumn:name="Ingress",type=string,JSONPath=`.status.uplinks[0].ingress`
// +kubebuilder:printcolumn:name="Promised-Egress",type=string,JSONPath=`.status.promised.egress`
// +kubebuilder:printcolumn:name="Promised-Ingress",type=string,JSONPath=`.status.promised.ingress`
// +kubebuilder:printcolumn:name="Shaping",type=string,JSONPath=`.status.conditions[?(@.type=="Shaping")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NodeBandwidth struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Status is all there is: one request writes the whole report.
	// +optional
	Status NodeBandwidthStatus `json:"status,omitempty"`
}

// NodeBandwidthStatus is what a node knows about its bandwidth. Rates are in
// bits per second.
type NodeBandwidthStatus struct {
	// Uplinks are the links over which the node reaches others, that of the
	// default route first; guarantees hold there.
	// +optional
	// +listType=map
	// +listMapKey=device
	// +kubebuilder:validation:MaxItems=16
	Uplinks []UplinkStatus `json:"uplinks,omitempty"`
	// Reserve is what the control class is guaranteed.
	// +optional
	Reserve BandwidthRates `json:"reserve,omitempty"`
	// Capacity is what pods may be guaranteed together; absent while the uplink's
	// rate is not known.
	// +optional
	Capacity BandwidthRates `json:"capacity,omitempty"`
	// Promised is what pods are guaranteed together.
	// +optional
	Promised BandwidthRates `json:"promised,omitempty"`
	// Attribution is how the node tells containers apart: by cgroup, or by the
	// ports that they declare.
	// +optional
	Attribution Attribution `json:"attribution,omitempty"`
	// Abilities are what this kernel offers of what is not everywhere, for
	// instance "fq_codel".
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	Abilities []string `json:"abilities,omitempty"`
	// Policies are those that choose a pod of this node.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Policies []NodePolicyStatus `json:"policies,omitempty"`
	// PoliciesOmitted is how many more there are than a report has room for.
	// +optional
	PoliciesOmitted int32 `json:"policiesOmitted,omitempty"`
	// Conditions are Shaping and Guaranteed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// LastChange is when what is reported last became different, by the clock of
	// the node.
	// +optional
	LastChange *metav1.Time `json:"lastChange,omitempty"`
}

// MaxNodePolicies is how many policies a report has room for.
const MaxNodePolicies = 256

// UplinkStatus is one uplink.
type UplinkStatus struct {
	// Device is its name on the node.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	Device string `json:"device"`
	// Egress and Ingress are what the line carries; absent if it is not known.
	// +optional
	Egress *resource.Quantity `json:"egress,omitempty"`
	// +optional
	Ingress *resource.Quantity `json:"ingress,omitempty"`
	// State is whether it is there and shaped.
	State UplinkState `json:"state"`
	// Message says what is wrong, if anything.
	// +optional
	Message string `json:"message,omitempty"`
}

// UplinkState is what can be said about an uplink in one word.
//
// +kubebuilder:validation:Enum=Shaped;CeilingsOnly;Missing;Failed
type UplinkState string

// States of an uplink.
const (
	// UplinkShaped: guarantees and ceilings hold.
	UplinkShaped UplinkState = "Shaped"
	// UplinkCeilingsOnly: its rate is not known, so that nothing can be promised.
	UplinkCeilingsOnly UplinkState = "CeilingsOnly"
	// UplinkMissing: there is no such device.
	UplinkMissing UplinkState = "Missing"
	// UplinkFailed: the kernel refused.
	UplinkFailed UplinkState = "Failed"
)

// Attribution is how traffic of a pod is told apart by container.
//
// +kubebuilder:validation:Enum=cgroup;ports
type Attribution string

// Ways to tell containers apart.
const (
	AttributionCgroup Attribution = "cgroup"
	AttributionPorts  Attribution = "ports"
)

// BandwidthRates has a rate for each direction.
type BandwidthRates struct {
	// +optional
	Egress *resource.Quantity `json:"egress,omitempty"`
	// +optional
	Ingress *resource.Quantity `json:"ingress,omitempty"`
}

// NodePolicyStatus is what one policy does on the node.
type NodePolicyStatus struct {
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID and Generation tell which object and which spec this is about.
	UID        types.UID `json:"uid"`
	Generation int64     `json:"generation"`
	// Matched is how many pods of the node it chooses: each of them is Applied,
	// Refused or Overridden.
	// +kubebuilder:validation:Minimum=0
	Matched int32 `json:"matched"`
	// Applied is how many have all of it.
	// +kubebuilder:validation:Minimum=0
	Applied int32 `json:"applied"`
	// Refused is how many do not get all of it: the kernel cannot, or what was
	// promised before leaves no room.
	// +kubebuilder:validation:Minimum=0
	Refused int32 `json:"refused"`
	// Overridden is how many follow annotations or other policies in all or some
	// of it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Overridden int32 `json:"overridden,omitempty"`
	// Conflicts is how many are chosen by an older policy of the same rank that
	// says differently. They are among the Overridden.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Conflicts int32 `json:"conflicts,omitempty"`
	// Refusals says why, for at most 20 pods; conflicts too.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Refusals []NodeRefusal `json:"refusals,omitempty"`
}

// NodeRefusal is a pod of the node that does not get what a policy says.
type NodeRefusal struct {
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// +kubebuilder:validation:MaxLength=63
	Reason string `json:"reason"`
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}

// NodeBandwidthList is a list of reports.
//
// +kubebuilder:object:root=true
type NodeBandwidthList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []NodeBandwidth `json:"items"`
}
