package firewall

import (
	"fmt"
	"sync"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/distribute"
)

// proofs are the newest revisions that nodes have proven: what a node has proven
// once stays true while it is busy with something newer.
type proofs struct {
	mu   sync.Mutex
	node map[string]uint64
}

// note takes what nodes say now.
func (p *proofs) note(states map[string]distribute.NodeState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.node == nil {
		p.node = map[string]uint64{}
	}
	for name, st := range states {
		if st.State == distribute.StateProven {
			p.node[name] = max(st.Applied, st.Wanted)
		}
	}
}

func (p *proofs) of(node string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.node[node]
}

func (p *proofs) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.node, node)
}

// stand tells how a node is as to a revision. Its own rules may be older, where
// the revision changed nothing for it.
func stand(node string, st distribute.NodeState, proven, revision uint64) standing {
	at := standing{node: node, state: v1alpha1.FirewallNodePending, reason: st.Reason, since: st.Since, revision: st.Applied}
	need := min(revision, st.Wanted)
	if st.Wanted > 0 && (st.State == distribute.StateProven || proven >= need) {
		return standing{node: node, state: v1alpha1.FirewallNodeApplied, revision: st.Applied}
	}
	switch st.State {
	case distribute.StateRolledBack:
		at.state = v1alpha1.FirewallNodeRolledBack
	case distribute.StateFailed:
		at.state = v1alpha1.FirewallNodeFailed
	case distribute.StateUnsupported:
		at.state = v1alpha1.FirewallNodeUnsupported
	case distribute.StateApplied:
		at.reason = "it enforces the rules and is about to prove that it still reaches a server"
	case "":
		at.reason = "the node is not connected to this server"
	}
	if at.reason == "" {
		at.reason = fmt.Sprintf("it has yet to acknowledge revision %d", need)
	}
	return at
}

// states are what the nodes say, by name.
func (f *Firewall) states() map[string]distribute.NodeState {
	states := map[string]distribute.NodeState{}
	for _, st := range f.dist.States() {
		states[st.Node] = st
	}
	f.proofs.note(states)
	return states
}

// standing is how a node is as to a revision.
func (f *Firewall) standing(node string, states map[string]distribute.NodeState, revision uint64) standing {
	return stand(node, states[node], f.proofs.of(node), revision)
}
