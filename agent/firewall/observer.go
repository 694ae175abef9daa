package firewall

import (
	"context"

	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/edgefw"
)

// observer passes on what the runtime tells of pods with addresses of their own.
type observer struct{ loop *edgefw.Loop }

var _ pods.Observer = observer{}

// Observer is to be told of pods by the runtime. It holds up a pod's start until
// its rules are in force.
func (f *Firewall) Observer() pods.Observer { return observer{f.loop} }

// Synchronize implements [pods.Observer].
func (o observer) Synchronize(_ context.Context, all []pods.Sandbox, _ []pods.Container) {
	known := map[string]edgefw.Pod{}
	for _, s := range all {
		if s.Pid != 0 && len(s.Addrs) > 0 {
			known[s.ID] = podOf(s)
		}
	}
	o.loop.PodsAre(known)
}

// Observe implements [pods.Observer].
func (o observer) Observe(ctx context.Context, e pods.Event) {
	switch e.Kind {
	case pods.PodStarted, pods.ContainerStarting:
		if len(e.Pod.Addrs) > 0 && (e.Kind == pods.PodStarted || !o.loop.KnowsPod(e.Pod.ID)) {
			o.loop.PodStarting(ctx, e.Pod.ID, podOf(e.Pod))
		}
	case pods.PodStopped, pods.PodRemoved:
		o.loop.PodGone(e.Pod.ID)
	case pods.ContainerStopped, pods.ContainerRemoved, pods.ProcessAdded:
	}
}

func podOf(s pods.Sandbox) edgefw.Pod {
	return edgefw.Pod{UID: s.UID, Namespace: s.Namespace, Name: s.Name, Addrs: s.Addrs}
}
