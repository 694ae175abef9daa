package distribute

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/edgefw/protocol"
)

// State is where a node is with its ruleset.
type State string

// The states of a node. All but the first and the last are the node's own words.
const (
	// StatePending: it has not acknowledged its newest revision.
	StatePending    State = "pending"
	StateApplied          = State(protocol.StateApplied)
	StateProven           = State(protocol.StateProven)
	StateRolledBack       = State(protocol.StateRolledBack)
	StateFailed           = State(protocol.StateFailed)
	// StateUnsupported: its kedge does not know the edge firewall.
	StateUnsupported State = "unsupported"
)

// NodeState is what is known of one node.
type NodeState struct {
	Node string
	// Connected tells that it has a link to this server.
	Connected bool
	// Wanted is the revision that it should have; 0 while no ruleset names it.
	Wanted uint64
	// Applied is the revision that its kernel has, as far as it said; 0 for none.
	Applied uint64
	State   State
	// Reason is one sentence where something is wrong.
	Reason string
	// Since is when it entered the state. While pending, that is when the oldest
	// change was noticed that it does not have.
	Since time.Time
	// Latency is how long its latest change took from the kick to the
	// acknowledgement that it is applied; 0 while unknown.
	Latency time.Duration
	// Took is how long its kernel needed for that.
	Took time.Duration
	// Software is its kedge version.
	Software string
}

// Figures count what a distributor did since it was made.
type Figures struct {
	// Compiles and CompileTime are those of all nodes together.
	Compiles    uint64
	CompileTime time.Duration
	// Updates were sent, with Bytes on the wire.
	Updates, Bytes uint64
	// Encoded counts the parts whose bytes were made; those of many nodes are made
	// once.
	Encoded uint64
	// Resyncs counts updates that a node could not put together.
	Resyncs uint64
}

// Figures returns the counts of now.
func (d *Distributor) Figures() Figures {
	d.mu.Lock()
	defer d.mu.Unlock()
	figures := d.figures
	figures.Encoded = d.library.parts.count()
	return figures
}

// Revision is the highest that was given.
func (d *Distributor) Revision() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.revision
}

// States returns all nodes that have a ruleset or a link, by name.
func (d *Distributor) States() []NodeState {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]NodeState, 0, len(d.nodes))
	for _, n := range d.nodes {
		list = append(list, n.stateNow())
	}
	slices.SortFunc(list, func(a, b NodeState) int { return strings.Compare(a.Node, b.Node) })
	return list
}

func (n *node) stateNow() NodeState {
	s := n.state
	s.Connected = n.session != nil
	if n.target != nil {
		s.Wanted = n.wanted
	}
	if s.State != StatePending {
		return s
	}
	switch {
	case !s.Connected:
		s.Reason = "the node is not connected to this server"
	case n.target == nil:
		s.Reason = "the node is not registered in the cluster yet"
	}
	return s
}

// enterLocked changes the state of a node. Pending counts from the oldest
// change that the node lacks.
func (d *Distributor) enterLocked(n *node, state State, reason string) {
	if n.state.State != state {
		n.state.Since = time.Now()
		if state == StatePending && !n.since.IsZero() {
			n.state.Since = n.since
		}
	}
	n.state.State, n.state.Reason = state, reason
}

// announceLocked wakes who waits for states.
func (d *Distributor) announceLocked() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Await waits until the nodes have acknowledged what the revision says for them,
// or something newer, well or not; nil means all nodes. Nodes that have no link
// to this server or do not know the edge firewall are not waited for: the
// former say what they hold when they come. The error names who is missing.
func (d *Distributor) Await(ctx context.Context, nodes []string, revision uint64) error {
	for {
		d.mu.Lock()
		missing, changed := d.missingLocked(nodes, revision), d.changed
		d.mu.Unlock()
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			slices.Sort(missing)
			return fmt.Errorf("%d nodes have not acknowledged revision %d, such as %s: %w", len(missing), revision, missing[0], ctx.Err())
		}
	}
}

func (d *Distributor) missingLocked(nodes []string, revision uint64) (missing []string) {
	look := func(n *node) {
		if n != nil && n.session != nil && n.target != nil && n.state.State != StateUnsupported && n.acked < min(revision, n.wanted) {
			missing = append(missing, n.name)
		}
	}
	if nodes == nil {
		for _, n := range d.nodes {
			look(n)
		}
	}
	for _, name := range nodes {
		look(d.nodes[name])
	}
	return missing
}
