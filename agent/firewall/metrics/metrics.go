package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/edgefw/view"
)

// Collector is a prometheus.Collector of one node.
type Collector struct {
	source func() (view.Node, []view.Counter, error)

	up, revision, state, lag, applies, took, rollbacks, restored *prometheus.Desc
	rules, entries, packets, bytes, limited                      *prometheus.Desc
}

// New returns a collector of what source tells at each scrape. With an error, the
// counters are not there and the rest is.
func New(source func() (view.Node, []view.Counter, error)) *Collector {
	return &Collector{
		source:    source,
		up:        desc("up", "Whether the counters of the firewall can be read."),
		revision:  desc("revision", "Revisions: wanted by the server, enforced by the kernel, proven by a fresh connection.", "which"),
		state:     desc("state", "1 for what became of the wanted revision.", "state"),
		lag:       desc("lag_seconds", "For how long the wanted revision has not been in force; 0 where it is."),
		applies:   desc("apply_duration_seconds", "Time that changes took until packets met the new rules."),
		took:      desc("last_apply_seconds", "Time that the latest change took."),
		rollbacks: desc("rollbacks_total", "Revisions that were rolled back because the node lost its server."),
		restored:  desc("restored_total", "How often rules were put back that somebody else had changed or removed."),
		rules:     desc("rules", "Rules in force.", "of"),
		entries:   desc("set_entries", "Entries of all sets in force."),
		packets:   desc("rule_packets_total", "Packets that a rule matched.", "rule"),
		bytes:     desc("rule_bytes_total", "Bytes of packets that a rule matched.", "rule"),
		limited:   desc("rule_limited_packets_total", "Packets that were more than a rule's limits allow.", "rule"),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("kedge_firewall_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.up, c.revision, c.state, c.lag, c.applies, c.took, c.rollbacks, c.restored, c.rules, c.entries, c.packets, c.bytes, c.limited,
	} {
		ch <- d
	}
}

// states are all that a revision can be in.
var states = []protocol.State{protocol.StateApplied, protocol.StateProven, protocol.StateRolledBack, protocol.StateFailed}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	n, counters, err := c.source()
	gauge(c.up, truth(err == nil))
	for which, revision := range map[string]uint64{"wanted": n.Wanted, "enforced": n.Enforced, "proven": n.Proven} {
		gauge(c.revision, float64(revision), which)
	}
	for _, s := range states {
		gauge(c.state, truth(n.State == string(s)), string(s))
	}
	gauge(c.lag, n.Lag.Seconds())
	ch <- prometheus.MustNewConstSummary(c.applies, n.Applies, n.ApplyTime.Seconds(), nil)
	gauge(c.took, n.Took.Seconds())
	count(c.rollbacks, n.Rollbacks)
	count(c.restored, n.Restored)
	gauge(c.rules, float64(n.HostRules), "host")
	gauge(c.rules, float64(n.PodRules), "pods")
	gauge(c.entries, float64(n.Entries))
	for _, r := range counters {
		count(c.packets, r.Packets, r.Rule)
		count(c.bytes, r.Bytes, r.Rule)
		count(c.limited, r.Limited, r.Rule)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
