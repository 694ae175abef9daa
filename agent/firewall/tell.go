package firewall

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/agent/herald"
	"github.com/kedge-io/kedge/edgefw"
	"github.com/kedge-io/kedge/edgefw/protocol"
)

// Condition is the type of the condition on the Node. True: what is wished for is
// in force. Its message names no revision, so that a revision costs no write.
const Condition corev1.NodeConditionType = "KedgeFirewall"

// Reasons of the condition.
const (
	ReasonEnforced   = "Enforced"
	ReasonRolledBack = "RolledBack"
	ReasonUndecided  = "Undecided"
	ReasonFailed     = "Failed"
	ReasonMinimal    = "Minimal"
	ReasonTrouble    = "Trouble"
)

// maxSaid bounds the notices that wait for the component to run.
const maxSaid = 20

// proclaim lets the API know what is told from now on, and was told before. The
// result waits for its end.
func (f *Firewall) proclaim(ctx context.Context, client kubernetes.Interface) (wait func()) {
	h := herald.New(f.cfg.NodeName, Condition, client, f.log)
	wait = h.Start(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.herald = h
	for _, n := range f.said {
		announce(h, n)
	}
	f.said = nil
	return wait
}

// tell makes an event of a notice.
func (f *Firewall) tell(n edgefw.Notice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.herald != nil:
		announce(f.herald, n)
	case len(f.said) < maxSaid:
		f.said = append(f.said, n)
	}
}

func announce(h *herald.Herald, n edgefw.Notice) {
	kind := corev1.EventTypeWarning
	if n.Kind == edgefw.Enforced || n.Kind == edgefw.Restored {
		kind = corev1.EventTypeNormal
	}
	h.NodeEvent(kind, string(n.Kind), n.Message)
}

// trouble is told of what lasts, and nil when it is over.
func (f *Firewall) trouble(err error) {
	f.report(err)
	f.mu.Lock()
	h := f.herald
	f.mu.Unlock()
	if h == nil {
		return
	}
	if err == nil {
		h.Condition(corev1.ConditionTrue, ReasonEnforced, "the rules of the cluster's firewall are in force")
		return
	}
	h.Condition(corev1.ConditionFalse, f.reason(), err.Error())
}

func (f *Firewall) reason() string {
	n := f.loop.Snapshot()
	switch {
	case n.Minimal:
		return ReasonMinimal
	case n.Undecided:
		return ReasonUndecided
	case n.State == string(protocol.StateRolledBack):
		return ReasonRolledBack
	case n.State == string(protocol.StateFailed):
		return ReasonFailed
	}
	return ReasonTrouble
}
