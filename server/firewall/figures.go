package firewall

import (
	"fmt"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/server/firewall/metrics"
)

// register shows the figures at the API server's /metrics.
func (f *Firewall) register() error {
	if err := legacyregistry.Registerer().Register(f.metrics); err != nil {
		return fmt.Errorf("register the metrics of firewalls: %w", err)
	}
	return nil
}

// figures are those of now.
func (f *Firewall) figures() metrics.Figures {
	of := f.dist.Figures()
	figures := metrics.Figures{
		Nodes: map[string]int{}, Revision: f.dist.Revision(), Compiles: of.Compiles, CompileSeconds: of.CompileTime.Seconds(),
		Updates: of.Updates, Bytes: of.Bytes, KeptOut: f.keptOut.Load(), Writes: f.writes.Load(),
	}
	for _, state := range []v1alpha1.FirewallNodeState{
		v1alpha1.FirewallNodeApplied, v1alpha1.FirewallNodePending, v1alpha1.FirewallNodeRolledBack,
		v1alpha1.FirewallNodeFailed, v1alpha1.FirewallNodeUnsupported,
	} {
		figures.Nodes[string(state)] = 0 // also those that nobody is in
	}
	now := f.compiled.Load()
	if now == nil {
		return figures
	}
	states := f.states()
	for node := range now.Rulesets {
		if !f.places.has(node) {
			continue
		}
		at := f.standing(node, states, now.revision)
		figures.Nodes[string(at.state)]++
		if states[node].Connected && at.state != v1alpha1.FirewallNodeApplied && !at.since.IsZero() {
			figures.Lag = max(figures.Lag, f.cfg.Now().Sub(at.since).Seconds())
		}
	}
	return figures
}
