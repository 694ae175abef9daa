package kube

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/kubelet/checkpointmanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager/checkpoint"
)

// deviceCheckpoint is where kubelet's device manager keeps its state
// (kubeletDeviceManagerCheckpoint in pkg/kubelet/cm/devicemanager).
const deviceCheckpoint = "kubelet_internal_checkpoint"

// keepExtendedResources lets a kubelet that starts believe the extended
// resources of its Node. Without the device manager's checkpoint it takes the
// machine for a new one, publishes all of them as 0, and then rejects the
// running pods that requested some. kubelet writes that file only once a device
// plugin has registered, so an empty one is written in upstream's own format. A
// file that is there is left alone.
func keepExtendedResources(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, deviceCheckpoint)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	manager, err := checkpointmanager.NewCheckpointManager(dir)
	if err == nil {
		err = manager.CreateCheckpoint(deviceCheckpoint, checkpoint.New([]checkpoint.PodDevicesEntry{}, map[string][]string{}))
	}
	if err != nil {
		return fmt.Errorf("keep the node's extended resources: %w", err)
	}
	return nil
}

// resourcesPatch returns what of a node's status must change so that it has the
// extended resources that it should. kubelet leaves those alone that no device
// plugin has registered.
func resourcesPatch(cfg Config, node *corev1.Node) map[string]any {
	status := map[string]any{}
	if cfg.Resources == nil {
		return status
	}
	want := cfg.Resources()
	for field, have := range map[string]corev1.ResourceList{"capacity": node.Status.Capacity, "allocatable": node.Status.Allocatable} {
		if changes := resourceChanges(have, want); len(changes) > 0 {
			status[field] = changes
		}
	}
	return status
}

func resourceChanges(have corev1.ResourceList, want map[string]string) map[string]any {
	changes := map[string]any{}
	for name, text := range want {
		q, found := have[corev1.ResourceName(name)]
		if text == "" {
			if found {
				changes[name] = nil
			}
			continue
		}
		// The API writes 60000 as 60k.
		if w, err := resource.ParseQuantity(text); err == nil && (!found || q.Cmp(w) != 0) {
			changes[name] = text
		}
	}
	return changes
}
