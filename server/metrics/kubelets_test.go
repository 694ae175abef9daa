package metrics

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/metrics-server/pkg/storage"
)

// answers stands for all kubelets. What it was asked is kept.
type answers struct {
	err   error
	asked *corev1.Node
}

func (a *answers) GetMetrics(_ context.Context, node *corev1.Node) (*storage.MetricsBatch, error) {
	a.asked = node
	return &storage.MetricsBatch{}, a.err
}

func nodeThatIs(ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "edge", Annotations: map[string]string{"metrics.k8s.io/resource-metrics-path": "/exec"}},
		Status: corev1.NodeStatus{
			Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "victim"}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 22}},
		},
	}
}

func TestKubeletsAreAskedByTheNameOfTheirNode(t *testing.T) {
	a := &answers{}
	k := &kubelets{client: a, log: slog.New(slog.DiscardHandler), silent: map[string]*silence{}}
	if batch, err := k.GetMetrics(t.Context(), nodeThatIs(corev1.ConditionTrue)); batch == nil || err != nil {
		t.Fatal(batch, err)
	}
	if got := a.asked.Status.Addresses; len(got) != 1 || got[0].Address != "edge" {
		t.Errorf("asked at %v, whatever the node says it must be its name", got)
	}
	if len(a.asked.Annotations) != 0 || a.asked.Status.DaemonEndpoints.KubeletEndpoint.Port != 0 {
		t.Errorf("the node chose path or port: %v", a.asked)
	}
}

func TestTroubleIsASilentNodeThatIsReady(t *testing.T) {
	a := &answers{err: errors.New("no tunnel")}
	k := &kubelets{client: a, log: slog.New(slog.DiscardHandler), silent: map[string]*silence{}}
	ask := func(ready corev1.ConditionStatus) error {
		_, err := k.GetMetrics(t.Context(), nodeThatIs(ready))
		if err != nil {
			t.Fatal(err)
		}
		return k.trouble()
	}
	if err := ask(corev1.ConditionTrue); err != nil {
		t.Errorf("after one failure: %v", err)
	}
	if err := ask(corev1.ConditionTrue); err == nil || !strings.Contains(err.Error(), "edge") || !strings.Contains(err.Error(), "no tunnel") {
		t.Errorf("after two failures: %v, want node and cause", err)
	}
	if err := ask(corev1.ConditionUnknown); err != nil {
		t.Errorf("not ready any more: %v", err)
	}
	_ = ask(corev1.ConditionTrue)
	_ = ask(corev1.ConditionTrue)
	k.keep(nil)
	if err := k.trouble(); err != nil {
		t.Errorf("after the node was deleted: %v", err)
	}
	_ = ask(corev1.ConditionTrue)
	_ = ask(corev1.ConditionTrue)
	a.err = nil
	if err := ask(corev1.ConditionTrue); err != nil {
		t.Errorf("after an answer: %v", err)
	}
}

func TestResolutionHasALowerBound(t *testing.T) {
	if ValidateResolution(DefaultResolution) != nil || ValidateResolution(MinResolution-1) == nil {
		t.Error("the default must do, less than the minimum must not")
	}
}
