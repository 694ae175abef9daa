package kube

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/kubelet/checkpointmanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager/checkpoint"
)

func TestKubeletFindsACheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "device-plugins")
	for range 2 {
		if err := keepExtendedResources(dir); err != nil {
			t.Fatal(err)
		}
	}
	manager, err := checkpointmanager.NewCheckpointManager(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := checkpoint.New(nil, nil)
	if err := manager.GetCheckpoint(deviceCheckpoint, data); err != nil {
		t.Fatal(err)
	}
	if pods, devices := data.GetData(); len(pods) > 0 || len(devices) > 0 {
		t.Errorf("it has %v and %v", pods, devices)
	}
}

func TestCheckpointOfPluginsIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), deviceCheckpoint)
	if err := os.WriteFile(file, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keepExtendedResources(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "theirs" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestResourcesOfTheNodeArePatched(t *testing.T) {
	const name = "kedge.io/egress-kbps"
	for _, c := range []struct {
		title, have, want string
		changes           map[string]any
	}{
		{"new", "", "60000", map[string]any{name: "60000"}},
		{"as it is", "60k", "60000", map[string]any{}},
		{"shrunk", "60k", "50000", map[string]any{name: "50000"}},
		{"zeroed by kubelet", "0", "50000", map[string]any{name: "50000"}},
		{"taken away", "60k", "", map[string]any{name: nil}},
		{"not there", "", "", map[string]any{}},
	} {
		node := ownObject("10.42.3.0/24")
		if c.have != "" {
			node.Status.Capacity = corev1.ResourceList{name: resource.MustParse(c.have)}
			node.Status.Allocatable = node.Status.Capacity
		}
		want := map[string]any{}
		if len(c.changes) > 0 {
			want = map[string]any{"capacity": c.changes, "allocatable": c.changes}
		}
		cfg := Config{Resources: func() map[string]string { return map[string]string{name: c.want} }}
		if got := resourcesPatch(cfg, node); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", c.title, got, want)
		}
	}
}

func TestUnknownResourcesAreLeftAlone(t *testing.T) {
	node := ownObject("10.42.3.0/24")
	node.Status.Capacity = corev1.ResourceList{"kedge.io/egress-kbps": resource.MustParse("60k")}
	for _, cfg := range []Config{{}, {Resources: func() map[string]string { return nil }}} {
		if got := resourcesPatch(cfg, node); len(got) > 0 {
			t.Errorf("got %v", got)
		}
	}
}
