package herald

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// retryMin is the first pause before what was not taken is offered again; it
	// doubles up to retryMax.
	retryMin = time.Second
	retryMax = time.Minute
	// maxPending bounds the events that wait for a server; the newest stay.
	maxPending = 20
)

// Herald keeps one condition of one node. Its methods may be called from any
// goroutine and do not block.
type Herald struct {
	node      string
	condition corev1.NodeConditionType
	log       *slog.Logger
	client    kubernetes.Interface
	wake      chan struct{}

	mu      sync.Mutex
	events  record.EventRecorder  // nil before Start
	want    *corev1.NodeCondition // nil for nothing to say yet
	pending []event               // about the node
}

// event is one about the node.
type event struct{ kind, reason, message string }

// New returns a herald of that condition which says nothing yet.
func New(node string, condition corev1.NodeConditionType, client kubernetes.Interface, log *slog.Logger) *Herald {
	return &Herald{node: node, condition: condition, log: log, client: client, wake: make(chan struct{}, 1)}
}

// Start lets the herald write until ctx ends. The result waits for its end.
func (h *Herald) Start(ctx context.Context) (wait func()) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: h.client.CoreV1().Events("")})
	h.mu.Lock()
	h.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kedge", Host: h.node})
	h.mu.Unlock()
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

// Condition says how the part is doing.
func (h *Herald) Condition(status corev1.ConditionStatus, reason, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.want; w != nil && w.Status == status && w.Reason == reason && w.Message == message {
		return
	}
	h.want = &corev1.NodeCondition{Type: h.condition, Status: status, Reason: reason, Message: message}
	h.notify()
}

// NodeEvent makes an event on the node, as soon as a server is there. Kind is
// Normal or Warning.
func (h *Herald) NodeEvent(kind, reason, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = append(h.pending, event{kind, reason, message})
	if len(h.pending) > maxPending {
		h.pending = h.pending[1:]
	}
	h.notify()
}

// Warn makes a warning on an object other than the node. It is lost while
// nobody is started.
func (h *Herald) Warn(ref *corev1.ObjectReference, reason, message string) {
	h.mu.Lock()
	events := h.events
	h.mu.Unlock()
	if events != nil {
		events.Event(ref, corev1.EventTypeWarning, reason, message)
	}
}

func (h *Herald) notify() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// settle offers what is to be said until it is taken.
func (h *Herald) settle(ctx context.Context) {
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
		retry = min(2*retry, retryMax)
	}
}
