package bandwidth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Condition is the type of the condition on the Node. True: the bandwidth of
// its pods is as wished.
const Condition corev1.NodeConditionType = "KedgeBandwidth"

// heraldRetryMax is the longest pause before a condition that was not taken is
// offered again; a server that is away is normal.
const heraldRetryMax = time.Minute

// herald tells the API what people are to know. Nobody waits for it.
type herald struct {
	node   string
	log    *slog.Logger
	client kubernetes.Interface
	events record.EventRecorder
	wake   chan struct{}

	mu   sync.Mutex
	want *corev1.NodeCondition // guarded by mu; nil for nothing to say yet
}

// newHerald returns a herald that says nothing yet.
func newHerald(node string, client kubernetes.Interface, log *slog.Logger) *herald {
	return &herald{node: node, log: log, client: client, wake: make(chan struct{}, 1)}
}

// start lets the herald write until ctx ends. The result waits for its end.
func (h *herald) start(ctx context.Context) (wait func()) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: h.client.CoreV1().Events("")})
	h.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kedge", Host: h.node})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer broadcaster.Shutdown()
		for {
			select {
			case <-ctx.Done():
				return
			case <-h.wake:
				h.settle(ctx)
			}
		}
	}()
	return func() { <-done }
}

// settle offers the condition until it is taken.
func (h *herald) settle(ctx context.Context) {
	retry := retryMin
	for {
		err := h.write(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if retry == retryMin {
			h.log.Debug("condition is not on the node yet, trying on", "error", err)
		}
		if !lifecycle.Pause(ctx, retry/2+rand.N(retry)) {
			return
		}
		retry = min(2*retry, heraldRetryMax)
	}
}

// condition says how bandwidth is on this node.
func (h *herald) condition(status corev1.ConditionStatus, reason, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.want; w != nil && w.Status == status && w.Reason == reason && w.Message == message {
		return
	}
	h.want = &corev1.NodeCondition{Type: Condition, Status: status, Reason: reason, Message: message}
	notify(h.wake)
}

// write brings the node's condition to what it should be, and makes an event of
// a change that matters.
func (h *herald) write(ctx context.Context) error {
	h.mu.Lock()
	want := *h.want
	h.mu.Unlock()
	node, err := h.client.CoreV1().Nodes().Get(ctx, h.node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read node %s: %w", h.node, err)
	}
	have := conditionOf(node)
	if have.Status == want.Status && have.Reason == want.Reason && have.Message == want.Message {
		return nil
	}
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
		return fmt.Errorf("write condition %s: %w", Condition, err)
	}
	h.announce(node, have, want)
	return nil
}

// announce makes an event of trouble, and of its end.
func (h *herald) announce(node *corev1.Node, have, want corev1.NodeCondition) {
	kind := corev1.EventTypeNormal
	switch {
	case want.Status != corev1.ConditionTrue:
		kind = corev1.EventTypeWarning
	case have.Status == "" || have.Status == corev1.ConditionTrue:
		return
	}
	ref := &corev1.ObjectReference{Kind: "Node", Name: node.Name, UID: node.UID, APIVersion: "v1"}
	h.events.Event(ref, kind, want.Reason, want.Message)
}

// conditionOf is the node's condition as it is; its status is empty for none.
func conditionOf(node *corev1.Node) corev1.NodeCondition {
	for _, c := range node.Status.Conditions {
		if c.Type == Condition {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// podEvent makes a warning on a pod.
func (h *herald) podEvent(ref podRef, reason, message string) {
	h.events.Event(&corev1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: ref.Namespace, Name: ref.Name, UID: types.UID(ref.UID),
	}, corev1.EventTypeWarning, reason, message)
}

// podRef names a pod as the API does.
type podRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}
