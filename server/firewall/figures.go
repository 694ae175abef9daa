package firewall

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// figures are the metrics of the server's part. They are at the API server's
// /metrics.
type figures struct {
	f       *Firewall
	keptOut prometheus.Counter
	writes  prometheus.Counter
	joins   prometheus.Histogram

	nodes, revision, lag, compiles, compileTime, updates, bytes *prometheus.Desc
}

func newFigures() *figures {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kedge_firewall_"+name, help, labels, nil)
	}
	return &figures{
		keptOut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kedge_firewall_api_refused_total", Help: "Requests to the API from addresses that the rules of the server's node keep out.",
		}),
		writes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kedge_firewall_status_writes_total", Help: "Writes of the status of EdgeFirewalls.",
		}),
		joins: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kedge_firewall_join_seconds", Help: "Time that a join waits until the connected nodes know its address.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 12), // 1 ms to 2 s
		}),
		nodes:       desc("nodes", "Nodes by how they are as to the newest rules.", "state"),
		revision:    desc("newest_revision", "The newest revision of the rules."),
		lag:         desc("worst_lag_seconds", "For how long the connected node that is furthest behind has been so."),
		compiles:    desc("compiles_total", "How often the rules of all nodes were made."),
		compileTime: desc("compile_seconds_total", "Time that it took to make the rules of all nodes."),
		updates:     desc("updates_total", "Updates that were sent to nodes."),
		bytes:       desc("update_bytes_total", "Bytes of updates that were sent to nodes."),
	}
}

// register shows the figures. Registering again after a restart of the component
// is no fault.
func (g *figures) register(f *Firewall) error {
	g.f = f
	if err := legacyregistry.Registerer().Register(g); err != nil {
		return fmt.Errorf("register the metrics of firewalls: %w", err)
	}
	return nil
}

func (g *figures) own() []prometheus.Collector {
	return []prometheus.Collector{g.keptOut, g.writes, g.joins}
}

// Describe implements prometheus.Collector.
func (g *figures) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range g.own() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{g.nodes, g.revision, g.lag, g.compiles, g.compileTime, g.updates, g.bytes} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *figures) Collect(ch chan<- prometheus.Metric) {
	for _, c := range g.own() {
		c.Collect(ch)
	}
	of := g.f.dist.Figures()
	for d, v := range map[*prometheus.Desc]float64{
		g.compiles: float64(of.Compiles), g.compileTime: of.CompileTime.Seconds(), g.updates: float64(of.Updates), g.bytes: float64(of.Bytes),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	if now := g.f.compiled.Load(); now != nil {
		g.collectNodes(ch, now)
	}
}

func (g *figures) collectNodes(ch chan<- prometheus.Metric, now *compiled) {
	ch <- prometheus.MustNewConstMetric(g.revision, prometheus.GaugeValue, float64(now.revision))
	count, lag := map[v1alpha1.FirewallNodeState]int{}, 0.0
	states := g.f.states()
	for node := range now.Rulesets {
		if !g.f.places.has(node) {
			continue
		}
		at := g.f.standing(node, states, now.revision)
		count[at.state]++
		if states[node].Connected && at.state != v1alpha1.FirewallNodeApplied && !at.since.IsZero() {
			lag = max(lag, g.f.cfg.Now().Sub(at.since).Seconds())
		}
	}
	for _, state := range []v1alpha1.FirewallNodeState{
		v1alpha1.FirewallNodeApplied, v1alpha1.FirewallNodePending, v1alpha1.FirewallNodeRolledBack,
		v1alpha1.FirewallNodeFailed, v1alpha1.FirewallNodeUnsupported,
	} {
		ch <- prometheus.MustNewConstMetric(g.nodes, prometheus.GaugeValue, float64(count[state]), string(state))
	}
	ch <- prometheus.MustNewConstMetric(g.lag, prometheus.GaugeValue, lag)
}
