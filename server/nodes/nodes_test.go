package nodes

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
)

func node(name string, labels map[string]string, taints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	for _, t := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: t, Effect: corev1.TaintEffectNoSchedule})
	}
	return n
}

func TestOwnNodeGetsItsRoleAndDeclaredNodesAreAdmitted(t *testing.T) {
	declared := map[string]string{wire.LabelAddresses: wire.AddressesDeclared}
	edge := node("edge", declared, uninitialized, "mine")
	edge.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.42.1.1"}}
	client := fake.NewClientset(
		node("server", nil),
		edge, node("early", declared, uninitialized),
		node("cloud", nil, uninitialized),
	)
	c := New(Config{OwnNode: "server", Client: func() (kubernetes.Interface, error) { return client, nil }}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, func() {}) }()
	get := func(name string) *corev1.Node {
		n, err := client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	testx.Eventually(t, time.Minute, "role and taints", func(context.Context) error {
		switch {
		case get("server").Labels[roleLabel] != "true":
			return errorString("the server's node has no role")
		case len(get("edge").Spec.Taints) != 1 || get("edge").Spec.Taints[0].Key != "mine":
			return errorString("the declared node keeps its taint, or lost another")
		}
		return nil
	})
	if got := get("edge").Labels[roleLabel]; got != "" {
		t.Errorf("an edge node has the role %q", got)
	}
	if len(get("early").Spec.Taints) != 1 {
		t.Error("a node without an internal address was admitted")
	}
	if len(get("cloud").Spec.Taints) != 1 {
		t.Error("a node of another cloud controller was admitted")
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("end: %v", err)
	}
}

type errorString string

func (e errorString) Error() string { return string(e) }
