package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// setsAddresses tells whether kedge publishes the node's addresses, which it
// leaves to a person who has a cloud provider of their own.
func (c Config) setsAddresses() bool {
	return !slices.ContainsFunc(c.KubeletArgs, func(arg string) bool {
		return strings.HasPrefix(strings.TrimLeft(arg, "-"), "cloud-provider=")
	})
}

// wantedAddresses are all addresses that the node should have, none as long as
// the cluster gave it no pod range and nobody named an address. The internal
// one is the first of the pod range: the private addresses of two sites may be
// equal, those of pods never are.
func wantedAddresses(cfg Config, node *corev1.Node) []corev1.NodeAddress {
	internal := cfg.NodeIPs
	if len(internal) == 0 {
		own, ok := clusterAddress(node)
		if !ok {
			return nil
		}
		internal = []netip.Addr{own}
	}
	var out []corev1.NodeAddress
	for _, ip := range internal {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	for _, ip := range cfg.ExternalIPs {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: ip.String()})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: cfg.NodeName})
}

// clusterAddress is the first address of the node's IPv4 pod range, which the
// pod network gives to the node's own bridge.
func clusterAddress(node *corev1.Node) (netip.Addr, bool) {
	for _, text := range append([]string{node.Spec.PodCIDR}, node.Spec.PodCIDRs...) {
		if pods, err := netip.ParsePrefix(text); err == nil && pods.Addr().Is4() {
			return pods.Masked().Addr().Next(), true
		}
	}
	return netip.Addr{}, false
}

// addressed tells whether the node has an address that host-network pods and
// kube-proxy may use.
func addressed(cfg Config, node *corev1.Node) bool {
	if cfg.setsAddresses() {
		want := wantedAddresses(cfg, node)
		return want != nil && slices.Equal(node.Status.Addresses, want)
	}
	return slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeInternalIP })
}

// nodePatch returns the merge patch that brings addresses, annotations and
// extended resources of the node to what they should be, nil for none.
func nodePatch(cfg Config, node *corev1.Node) map[string]any {
	patch, status := map[string]any{}, resourcesPatch(cfg, node)
	if want := wantedAddresses(cfg, node); cfg.setsAddresses() && want != nil && !addressed(cfg, node) {
		// The whole list: a strategic merge goes by type and would mix two of
		// one type.
		status["addresses"] = want
	}
	if len(status) > 0 {
		patch["status"] = status
	}
	annotations := map[string]any{}
	if cfg.Annotations != nil {
		for key, value := range maps.All(cfg.Annotations()) {
			have, found := node.Annotations[key]
			switch {
			case value == "" && found:
				annotations[key] = nil
			case value != "" && have != value:
				annotations[key] = value
			}
		}
	}
	if len(annotations) > 0 {
		patch["metadata"] = map[string]any{"annotations": annotations}
	}
	if len(patch) == 0 {
		return nil
	}
	return patch
}

// apply sends a patch of nodePatch. The status of a Node takes annotations with
// it, so that addresses and annotations change together.
func apply(ctx context.Context, client kubernetes.Interface, name string, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err == nil {
		_, err = client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{}, "status")
	}
	if err != nil {
		return fmt.Errorf("publish addresses and resources of node %s: %w", name, err)
	}
	return nil
}
