package v1alpha1_test

import (
	"testing"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

func TestSplitAnnotation(t *testing.T) {
	for _, c := range []struct {
		key, container, field string
		ok                    bool
	}{
		{v1alpha1.AnnotationEgressMin, "", "egress-min", true},
		{v1alpha1.AnnotationEgressMax, "", "egress-max", true},
		{v1alpha1.AnnotationIngressMin, "", "ingress-min", true},
		{v1alpha1.AnnotationIngressMax, "", "ingress-max", true},
		{v1alpha1.ContainerAnnotation("web", v1alpha1.FieldEgressMax), "web", "egress-max", true},
		{v1alpha1.ContainerAnnotation("container", v1alpha1.FieldIngressMin), "container", "ingress-min", true},
		{v1alpha1.AnnotationEgress, "", "", false},
		{"bandwidth.kedge.io/egress", "", "", false},
		{"bandwidth.kedge.io/container.web", "", "", false},
		{"bandwidth.kedge.io/container..egress-max", "", "", false},
		{"bandwidth.kedge.io/container.web.egress", "", "", false},
		{"bandwidth.kedge.io/container.web.a.egress-max", "", "", false},
		{"bandwidth.kedge.io/web.egress-max", "", "", false},
		{"other.io/egress-max", "", "", false},
	} {
		container, field, ok := v1alpha1.SplitAnnotation(c.key)
		if ok != c.ok || ok && (container != c.container || field != c.field) {
			t.Errorf("%s: container %q, field %q, %t", c.key, container, field, ok)
		}
	}
}
