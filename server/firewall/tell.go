package firewall

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/distribute"
)

// Reasons of events, on the Node and on each EdgeFirewall that selects it.
const (
	EventRolledBack = "FirewallRolledBack"
	EventFailed     = "FirewallFailed"
	EventRecovered  = "FirewallApplied"
)

// teller makes an event of each node that stops to enforce what it should, and
// of its recovery.
type teller struct {
	f      *Firewall
	events record.EventRecorder
	stop   func()
	// bad is what was told of nodes.
	bad map[string]standing
}

func newTeller(ctx context.Context, f *Firewall) *teller {
	t := &teller{f: f, bad: map[string]standing{}, stop: func() {}}
	if f.api.events == nil {
		return t
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(f.api.events)
	t.events, t.stop = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kedge"}), broadcaster.Shutdown
	return t
}

// tell compares with what was told.
func (t *teller) tell(now *compiled, states map[string]distribute.NodeState) {
	for node := range now.Rulesets {
		at := t.f.standing(node, states, now.revision)
		before, was := t.bad[node]
		switch at.state {
		case v1alpha1.FirewallNodeRolledBack, v1alpha1.FirewallNodeFailed:
			if !was || before.state != at.state || before.reason != at.reason {
				t.bad[node] = at
				t.say(now, node, corev1.EventTypeWarning, word(at.state), at.reason)
			}
		case v1alpha1.FirewallNodeApplied:
			if was {
				delete(t.bad, node)
				t.say(now, node, corev1.EventTypeNormal, EventRecovered, "the node enforces the newest rules")
			}
		}
	}
	for node := range t.bad {
		if _, exists := now.Rulesets[node]; !exists {
			delete(t.bad, node)
		}
	}
}

func word(s v1alpha1.FirewallNodeState) string {
	if s == v1alpha1.FirewallNodeRolledBack {
		return EventRolledBack
	}
	return EventFailed
}

// say tells it on the node and on its firewalls, and in the log.
func (t *teller) say(now *compiled, node, kind, reason, message string) {
	t.f.log.Info("a node's firewall", "node", node, "state", reason, "reason", message, "revision", now.revision)
	if t.events == nil {
		return
	}
	if w := t.f.node(node); w != nil {
		t.events.Event(&corev1.ObjectReference{Kind: "Node", Name: node, UID: w.UID, APIVersion: "v1"}, kind, reason, message)
	}
	for _, o := range list[*v1alpha1.EdgeFirewall](t.f.caches.firewalls) {
		if slices.Contains(now.Of[node], o.Name) {
			ref := &corev1.ObjectReference{Kind: v1alpha1.KindEdgeFirewall, Name: o.Name, UID: o.UID, APIVersion: v1alpha1.GroupVersion().String()}
			t.events.Eventf(ref, kind, reason, "node %s: %s", node, message)
		}
	}
}

// node is what the cache knows of a node; nil for nothing, and before the
// component runs.
func (f *Firewall) node(name string) *watchedNode {
	if !f.running.Load() {
		return nil
	}
	obj, exists, err := f.caches.nodes.GetStore().GetByKey(name)
	if w, ok := obj.(*watchedNode); err == nil && exists && ok {
		return w
	}
	return nil
}
