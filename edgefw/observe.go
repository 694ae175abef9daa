package edgefw

import (
	"context"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// PodStarting is told of a pod that has its addresses and no process yet. It
// returns when its rules are in force, or when ctx ends: then the pod is isolated
// until they are, if its namespace has policies.
func (l *Loop) PodStarting(ctx context.Context, sandbox string, p Pod) {
	revision := l.pods.put(sandbox, p)
	l.Wake()
	select {
	case <-l.heard:
	case <-ctx.Done():
	}
	if !l.pods.await(ctx, revision, p) {
		l.log.Warn("a pod starts before the server has named its rules: in a namespace with policies it is cut off until then", "pod", p.Namespace+"/"+p.Name)
	}
}

// PodGone is told of a pod that has no process any more.
func (l *Loop) PodGone(sandbox string) {
	if l.pods.drop(sandbox) {
		l.Wake()
	}
}

// PodsAre is told of all pods there are, by sandbox.
func (l *Loop) PodsAre(pods map[string]Pod) {
	l.pods.replace(pods)
	l.Wake()
}

// KnowsPod tells whether the sandbox is known.
func (l *Loop) KnowsPod(sandbox string) bool {
	l.pods.mu.Lock()
	defer l.pods.mu.Unlock()
	_, ok := l.pods.pods[sandbox]
	return ok
}

// hear ends the time in which pods wait for the first word of a server.
func (l *Loop) hear(ctx context.Context) {
	lifecycle.Pause(ctx, firstWord)
	l.hasHeard()
}

func (l *Loop) hasHeard() { l.heardOnce.Do(func() { close(l.heard) }) }
