package v1alpha1_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

func TestNodeSelectorIsALabelSelector(t *testing.T) {
	s := &v1alpha1.NodeSelector{
		MatchLabels:      map[string]v1alpha1.NodeLabelValue{"pool": "shops"},
		MatchExpressions: []v1alpha1.NodeSelectorTerm{{Key: "site", Operator: metav1.LabelSelectorOpNotIn, Values: []v1alpha1.NodeLabelValue{"lab", "test"}}},
	}
	got, err := metav1.LabelSelectorAsSelector(s.LabelSelector())
	if err != nil || got.String() != "pool=shops,site notin (lab,test)" {
		t.Error(got, err)
	}
	if all, err := metav1.LabelSelectorAsSelector((&v1alpha1.NodeSelector{}).LabelSelector()); err != nil || !all.Matches(labels.Set{}) {
		t.Error("an empty one does not choose all", err)
	}
	if (*v1alpha1.NodeSelector)(nil).LabelSelector() != nil {
		t.Error("none became one")
	}
}
