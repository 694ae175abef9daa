package shortage

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

func list(egress string) corev1.ResourceList {
	return corev1.ResourceList{v1alpha1.ResourceEgress: resource.MustParse(egress)}
}

func node(name, egress string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if egress != "" {
		n.Status.Allocatable = list(egress)
	}
	return n
}

func pod(name, node, egress string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "a", Resources: corev1.ResourceRequirements{Requests: list(egress), Limits: list(egress)},
		}}},
	}
}

// refuse is the verdict that upstream's NodeResourcesFit gives.
func refuse(code fwk.Code, reasons ...string) *fwk.Status { return fwk.NewStatus(code, reasons...) }

const insufficient = "Insufficient kedge.io/egress-kbps"

func TestMessageHasFigures(t *testing.T) {
	nodes := []*corev1.Node{node("edge-1", "100k"), node("edge-2", "50k"), node("edge-3", ""), node("server", "1M")}
	snapshot := cache.NewSnapshot([]*corev1.Pod{pod("old", "edge-1", "60k")}, nodes)
	verdicts := framework.NewNodeToStatus(map[string]*fwk.Status{
		"edge-1": refuse(fwk.Unschedulable, insufficient, "Insufficient cpu"),
		"edge-2": refuse(fwk.UnschedulableAndUnresolvable, insufficient),
		"edge-3": refuse(fwk.UnschedulableAndUnresolvable, insufficient),
		"server": refuse(fwk.UnschedulableAndUnresolvable, "node(s) had untolerated taint(s)"),
	}, fwk.NewStatus(fwk.UnschedulableAndUnresolvable))
	got := explain(pod("new", "", "60k"), verdicts, snapshot.NodeInfos())
	want := "Needs 60 Mbit/s egress guaranteed: edge-2 has 50 Mbit/s of 50 Mbit/s free, edge-1 has 40 Mbit/s of 100 Mbit/s free, edge-3 can promise nothing"
	if len(got) != 1 || got[0] != want {
		t.Errorf("says %q,\nwant %q", got, want)
	}
}

func TestMessageIsShortInLargeClusters(t *testing.T) {
	var nodes []*corev1.Node
	statuses := map[string]*fwk.Status{}
	for i := range 1000 {
		name := fmt.Sprintf("edge-%03d", i)
		nodes = append(nodes, node(name, fmt.Sprintf("%dk", i+1)))
		statuses[name] = refuse(fwk.Unschedulable, insufficient)
	}
	got := explain(pod("new", "", "5M"), framework.NewNodeToStatus(statuses, nil), cache.NewSnapshot(nil, nodes).NodeInfos())
	if len(got) != 1 || len(got[0]) > 300 || !strings.Contains(got[0], "edge-999 has 1 Gbit/s") || !strings.Contains(got[0], "997 others have no more") {
		t.Errorf("says %q", got)
	}
}

func TestOtherPodsGetNoMessage(t *testing.T) {
	nodes := []*corev1.Node{node("edge-1", "100k")}
	verdicts := framework.NewNodeToStatus(map[string]*fwk.Status{"edge-1": refuse(fwk.Unschedulable, "Insufficient cpu")}, nil)
	for _, p := range []*corev1.Pod{pod("needs", "", "60k"), {Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}}} {
		if got := explain(p, verdicts, cache.NewSnapshot(nil, nodes).NodeInfos()); len(got) > 0 {
			t.Errorf("says %q", got)
		}
	}
}
