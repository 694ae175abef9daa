package bandwidth

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Condition is the type of the condition on the Node. True: the bandwidth of
// its pods is as wished.
const Condition corev1.NodeConditionType = "KedgeBandwidth"

// podRef names a pod as the API does.
type podRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// object is the pod as events name it.
func (r podRef) object() *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: r.Namespace, Name: r.Name, UID: types.UID(r.UID)}
}

// Reasons of events about pods.
const (
	// EventRefused: something that is wished for the pod does not hold.
	EventRefused = "BandwidthRefused"
	// EventThrottled: the pod has been held back for long.
	EventThrottled = "BandwidthThrottled"
)

// told is what was said about each pod, by its UID at the runtime, so that it is
// said once for each change.
type told map[string][]string

// news returns what is new of texts, and forgets what is over.
func (t told) news(uid string, texts []string) []string {
	var fresh []string
	for _, text := range texts {
		if !slices.Contains(t[uid], text) {
			fresh = append(fresh, text)
		}
	}
	if len(texts) == 0 {
		delete(t, uid)
	} else {
		t[uid] = texts
	}
	return fresh
}

// tell makes condition and events of a pass.
func (b *Bandwidth) tell(now *applied) {
	v := now.verdict
	b.herald.Condition(v.status, v.reason, v.message)
	b.report(v.err())
	there := map[string]bool{}
	for i, view := range now.pods {
		uid := now.node.Pods[i].UID
		there[uid] = true
		if !view.inAPI {
			continue // there is no object to hang an event on, yet
		}
		for _, text := range b.told.news(uid, now.refusedTo(i)) {
			b.log.Info("a wish for a pod does not hold", "pod", view.ref.Namespace+"/"+view.ref.Name, "reason", text)
			b.herald.Warn(view.ref.object(), EventRefused, text)
		}
	}
	for uid := range b.told {
		if !there[uid] {
			delete(b.told, uid)
		}
	}
}

// refusedTo is all that does not hold for the pod at that place, a sentence each.
func (a *applied) refusedTo(i int) []string {
	var texts []string
	for _, p := range a.pods[i].problems {
		texts = append(texts, p.Message)
	}
	for _, r := range a.refusals {
		if r.UID == a.node.Pods[i].UID {
			texts = append(texts, r.Message)
		}
	}
	return texts
}

// announceThrottled tells of pods that have been held back for long.
func (b *Bandwidth) announceThrottled(now *applied, held []ceiling) {
	for _, c := range held {
		view := now.pods[c.pod]
		if !view.inAPI {
			continue
		}
		what := "the pod"
		if c.container != "" {
			what = "container " + c.container
		}
		b.herald.Warn(view.ref.object(), EventThrottled, fmt.Sprintf("%s has been at its %s ceiling of %s for most of the last %s, and packets are dropped: raise the ceiling or send less",
			what, strings.ToLower(c.direction.String()), c.max.Human(), strings.TrimSuffix(throttledFor.String(), "0s")))
	}
}
