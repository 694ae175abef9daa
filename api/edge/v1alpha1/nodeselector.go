package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NodeSelector chooses nodes by their labels, as a label selector of Kubernetes
// does: all of it must hold. It is a type of its own because its parts are
// bounded, without which the API server could not check it within a rule of a
// firewall.
type NodeSelector struct {
	// MatchLabels are labels with the values that a node must have, at most 8.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	MatchLabels map[string]NodeLabelValue `json:"matchLabels,omitempty"`
	// MatchExpressions are further conditions, at most 8.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	MatchExpressions []NodeSelectorTerm `json:"matchExpressions,omitempty"`
}

// NodeLabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern="^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"
type NodeLabelValue string

// NodeSelectorTerm is one condition on a label.
//
// +kubebuilder:validation:XValidation:rule="(has(self.values) && size(self.values) > 0) == (self.operator in ['In', 'NotIn'])",messageExpression="self.operator in ['In', 'NotIn'] ? 'the operator ' + self.operator + ' needs values' : 'the operator ' + self.operator + ' takes no values'"
type NodeSelectorTerm struct {
	// Key is that of a label.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern="^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
	Key string `json:"key"`
	// Operator is In, NotIn, Exists or DoesNotExist.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator metav1.LabelSelectorOperator `json:"operator"`
	// Values are those of In and NotIn, at most 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Values []NodeLabelValue `json:"values,omitempty"`
}

// LabelSelector returns it as Kubernetes' own type; nil for nil.
func (s *NodeSelector) LabelSelector() *metav1.LabelSelector {
	if s == nil {
		return nil
	}
	out := &metav1.LabelSelector{}
	for key, value := range s.MatchLabels {
		metav1.AddLabelToSelector(out, key, string(value))
	}
	for _, term := range s.MatchExpressions {
		r := metav1.LabelSelectorRequirement{Key: term.Key, Operator: term.Operator}
		for _, value := range term.Values {
			r.Values = append(r.Values, string(value))
		}
		out.MatchExpressions = append(out.MatchExpressions, r)
	}
	return out
}
