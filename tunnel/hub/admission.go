package hub

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Limits of nodes that are connecting. After a restart of the server all of
// them come within the same second.
const (
	// DefaultHandshakes is how many are upgraded and proven at a time.
	DefaultHandshakes = 64
	// DefaultQueue is how many wait for that; the rest are told to come later.
	DefaultQueue = 1024
	// queueTime bounds the wait, well below what a node waits for an answer.
	queueTime = 5 * time.Second
	// perNode is how many handshakes one node may have under way: the one that
	// it gave up, and the next.
	perNode = 2
	// comeLater is what a node is told that found the queue full.
	comeLater = 2 * time.Second
)

// admission bounds the handshakes under way.
type admission struct {
	slots chan struct{}
	queue chan struct{}

	mu    sync.Mutex
	nodes map[tunnel.NodeName]int
}

func newAdmission(handshakes, queue int) *admission {
	return &admission{
		slots: make(chan struct{}, handshakes), queue: make(chan struct{}, queue), nodes: map[tunnel.NodeName]int{},
	}
}

// enter waits for a turn. The caller gives it back with leave.
func (a *admission) enter(ctx context.Context, node tunnel.NodeName) error {
	if n := a.count(node, 1); n > perNode {
		a.count(node, -1)
		return fmt.Errorf("%d connections of node %q are still being made, which is the limit", perNode, node)
	}
	if err := a.wait(ctx); err != nil {
		a.count(node, -1)
		return err
	}
	return nil
}

func (a *admission) wait(ctx context.Context) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case a.queue <- struct{}{}:
		defer func() { <-a.queue }()
	default:
		return fmt.Errorf("%d nodes are connecting and %d wait for that, which is the limit", cap(a.slots), cap(a.queue))
	}
	timeout := time.NewTimer(queueTime)
	defer timeout.Stop()
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return fmt.Errorf("%d nodes are connecting; it was not your turn within %v", cap(a.slots), queueTime)
	}
}

func (a *admission) leave(node tunnel.NodeName) {
	<-a.slots
	a.count(node, -1)
}

func (a *admission) count(node tunnel.NodeName, by int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.nodes[node] + by
	if n == 0 {
		delete(a.nodes, node)
	} else {
		a.nodes[node] = n
	}
	return n
}
