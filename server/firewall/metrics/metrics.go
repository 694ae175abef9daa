package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Figures are those of one moment. What counts has grown since the server
// started.
type Figures struct {
	// Nodes by state, as to the newest rules; Revision is theirs.
	Nodes    map[string]int
	Revision uint64
	// Lag is for how many seconds the connected node that is furthest behind has
	// been so.
	Lag float64
	// Compiles took CompileSeconds together.
	Compiles       uint64
	CompileSeconds float64
	// Updates were sent to nodes, with Bytes on the wire.
	Updates, Bytes uint64
	// KeptOut counts requests to the API from addresses that the rules keep out,
	// Writes those of statuses.
	KeptOut, Writes uint64
}

// Collector is a prometheus.Collector of figures.
type Collector struct {
	source func() Figures
	joins  prometheus.Histogram

	nodes, revision, lag, compiles, compileTime, updates, bytes, keptOut, writes *prometheus.Desc
}

// New returns a collector of what source reports.
func New(source func() Figures) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kedge_firewall_"+name, help, labels, nil)
	}
	return &Collector{
		source: source,
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
		keptOut:     desc("api_refused_total", "Requests to the API from addresses that the rules of the server's node keep out."),
		writes:      desc("status_writes_total", "Writes of the status of EdgeFirewalls."),
	}
}

// Joined notes how long a join waited, in seconds.
func (c *Collector) Joined(seconds float64) { c.joins.Observe(seconds) }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	c.joins.Describe(ch)
	for _, d := range []*prometheus.Desc{c.nodes, c.revision, c.lag, c.compiles, c.compileTime, c.updates, c.bytes, c.keptOut, c.writes} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.joins.Collect(ch)
	f := c.source()
	for state, n := range f.Nodes {
		ch <- prometheus.MustNewConstMetric(c.nodes, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(c.revision, prometheus.GaugeValue, float64(f.Revision))
	ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, f.Lag)
	for d, v := range map[*prometheus.Desc]float64{
		c.compiles: float64(f.Compiles), c.compileTime: f.CompileSeconds, c.updates: float64(f.Updates),
		c.bytes: float64(f.Bytes), c.keptOut: float64(f.KeptOut), c.writes: float64(f.Writes),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
}
