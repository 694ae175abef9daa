package herald

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// write brings the node's condition to what it should be, and makes events of
// changes that matter and of what waits.
func (h *Herald) write(ctx context.Context) error {
	node, err := h.client.CoreV1().Nodes().Get(ctx, h.node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read node %s: %w", h.node, err)
	}
	h.mu.Lock()
	want, pending, events := h.want, h.pending, h.events
	h.pending = nil
	h.mu.Unlock()
	ref := &corev1.ObjectReference{Kind: "Node", Name: node.Name, UID: node.UID, APIVersion: "v1"}
	for _, e := range pending {
		events.Event(ref, e.kind, e.reason, e.message)
	}
	if want == nil {
		return nil
	}
	have := Of(node, h.condition)
	if have.Status == want.Status && have.Reason == want.Reason && have.Message == want.Message {
		return nil
	}
	if err := h.patch(ctx, have, *want); err != nil {
		return err
	}
	if kind := tells(have.Status, want.Status); kind != "" {
		events.Event(ref, kind, want.Reason, want.Message)
	}
	return nil
}

func (h *Herald) patch(ctx context.Context, have, want corev1.NodeCondition) error {
	now := metav1.Now()
	want.LastHeartbeatTime, want.LastTransitionTime = now, now
	if have.Status == want.Status {
		want.LastTransitionTime = have.LastTransitionTime
	}
	data, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{want}}})
	if err != nil {
		return err
	}
	_, err = h.client.CoreV1().Nodes().Patch(ctx, h.node, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("write condition %s: %w", h.condition, err)
	}
	return nil
}

// tells is the kind of the event that a change of the condition is worth: of
// trouble, and of its end; empty for none.
func tells(have, want corev1.ConditionStatus) string {
	switch {
	case want != corev1.ConditionTrue:
		return corev1.EventTypeWarning
	case have == "" || have == corev1.ConditionTrue:
		return ""
	}
	return corev1.EventTypeNormal
}

// Of is a condition of a node as it is; its status is empty for none.
func Of(node *corev1.Node, condition corev1.NodeConditionType) corev1.NodeCondition {
	for _, c := range node.Status.Conditions {
		if c.Type == condition {
			return c
		}
	}
	return corev1.NodeCondition{}
}
