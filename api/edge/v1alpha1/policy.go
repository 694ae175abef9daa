package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BandwidthPolicy limits and guarantees the bandwidth of pods of its namespace.
//
// For each field of a pod or container the first of these that says something
// counts: the container's annotation, the pod's annotation, the oldest policy
// with a podSelector (by name if they are equally old), the oldest policy
// without.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=bwp,categories=kedge
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.matched`
// +kubebuilder:printcolumn:name="Applied",type=integer,JSONPath=`.status.applied`
// +kubebuilder:printcolumn:name="Refused",type=integer,JSONPath=`.status.refused`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Conflicted",type=string,JSONPath=`.status.conditions[?(@.type=="Conflicted")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BandwidthPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BandwidthPolicySpec `json:"spec"`
	// +optional
	Status BandwidthPolicyStatus `json:"status,omitempty"`
}

// BandwidthPolicySpec is what is wanted.
//
// +kubebuilder:validation:XValidation:rule="has(self.egress) || has(self.ingress) || has(self.priority)",message="this policy limits and guarantees nothing: give it egress, ingress or priority"
// +kubebuilder:validation:XValidation:rule="!has(self.priority) || !has(self.containers) || size(self.containers) == 0",message="priority is that of the whole pod: put it into a policy without containers"
type BandwidthPolicySpec struct {
	// PodSelector chooses pods of the namespace by their labels; an empty one
	// chooses all. Absent, the policy is the namespace's default: it gives way to
	// every policy that has a selector.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="the operator of an expression is one of In, NotIn, Exists and DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (has(e.values) && size(e.values) > 0) == (e.operator in ['In', 'NotIn']))",message="the operators In and NotIn need values, Exists and DoesNotExist take none"
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// Containers are names of containers and init containers that each get the
	// limits. Empty, the pod as a whole gets them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="this is not the name of a container: use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
	Containers []string `json:"containers,omitempty"`
	// Egress is what pods send.
	// +optional
	Egress *BandwidthLimit `json:"egress,omitempty"`
	// Ingress is what pods receive.
	// +optional
	Ingress *BandwidthLimit `json:"ingress,omitempty"`
	// Priority says who of those that want more than their guarantee gets spare
	// bandwidth first: 0 to 6, higher goes first, 3 if nobody says anything. It is
	// that of the pod; containers have none of their own.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= 0 && self <= 6",message="this is no priority: use 0 to 6, where 6 borrows first and 3 is the usual one"
	Priority *int32 `json:"priority,omitempty"`
}

// BandwidthLimit is a guarantee and a ceiling for one direction, quantities in
// bits per second from 1k to 1P.
//
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="neither guarantee nor ceiling: give it min, max or both"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || !isQuantity(string(self.min)) || !isQuantity(string(self.max)) || !quantity(string(self.min)).isGreaterThan(quantity(string(self.max)))",messageExpression="'min ' + string(self.min) + ' is more than max ' + string(self.max) + ': lower the guarantee or raise the ceiling'"
type BandwidthLimit struct {
	// Min is guaranteed, whatever other pods do: bits per second, 10M is 10 Mbit/s.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('1k')) && !quantity(string(self)).isGreaterThan(quantity('1P'))",message="this is no bandwidth: write bits per second from 1k to 1P, for instance 10M for 10 Mbit/s"
	Min *resource.Quantity `json:"min,omitempty"`
	// Max is never exceeded, even if nobody else uses the line: bits per second,
	// 10M is 10 Mbit/s.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('1k')) && !quantity(string(self)).isGreaterThan(quantity('1P'))",message="this is no bandwidth: write bits per second from 1k to 1P, for instance 10M for 10 Mbit/s"
	Max *resource.Quantity `json:"max,omitempty"`
}

// MaxRefusals is how many refusals the status of a policy names, and how many of
// each policy a node reports.
const MaxRefusals = 20

// BandwidthPolicyStatus sums up what the nodes report.
type BandwidthPolicyStatus struct {
	// ObservedGeneration is that of the spec which the figures are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Matched is how many pods on nodes the policy chooses.
	// +optional
	Matched int32 `json:"matched"`
	// Applied is how many of them have all that this generation says and no
	// stronger source says differently.
	// +optional
	Applied int32 `json:"applied"`
	// Refused is how many of them do not get all of it.
	// +optional
	Refused int32 `json:"refused"`
	// Refusals says why, for at most 20 pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Refusals []BandwidthRefusal `json:"refusals,omitempty"`
	// Conditions are Accepted, Applied and Conflicted.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BandwidthRefusal is a pod that does not get what a policy says.
type BandwidthRefusal struct {
	// Pod is its name in the namespace of the policy.
	Pod string `json:"pod"`
	// Node is where it runs.
	Node string `json:"node"`
	// Reason is a word for programs, for instance OverPromised.
	Reason string `json:"reason"`
	// Message is for people and has the figures.
	Message string `json:"message"`
}

// BandwidthPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type BandwidthPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BandwidthPolicy `json:"items"`
}
