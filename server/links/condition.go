package links

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// condition returns what the node should say about its link, and whether it
// says something else now. A new message alone is no change.
func condition(have []corev1.NodeCondition, s State, now time.Time) (next corev1.NodeCondition, changed bool) {
	next = corev1.NodeCondition{
		Type: Condition, Status: corev1.ConditionTrue, Reason: ReasonConnected,
		Message:           cmp.Or(s.Message, "the node has its link to the server"),
		LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
	if !s.Up {
		next.Status, next.Reason = corev1.ConditionFalse, ReasonDisconnected
		next.Message = cmp.Or(s.Message, ErrNeverCame.Error())
	}
	for _, c := range have {
		if c.Type == Condition {
			return next, c.Status != next.Status
		}
	}
	return next, true
}

func patchCondition(ctx context.Context, client kubernetes.Interface, node string, c corev1.NodeCondition) error {
	data, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{c}}})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}
