package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// Collector is a prometheus.Collector of a server's snapshots.
type Collector struct {
	source func() snapshot.State

	last, bytes, seconds, revision, kept, keptBytes, failures, remoteLast *prometheus.Desc
}

// New returns a collector of what source reports.
func New(source func() snapshot.State) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kedge_snapshot_"+name, help, labels, nil)
	}
	return &Collector{
		source:     source,
		last:       desc("last_timestamp_seconds", "When the last whole snapshot of this cluster was made, in seconds since 1970; not there without one."),
		bytes:      desc("last_bytes", "Size of the last whole snapshot."),
		revision:   desc("last_revision", "Revision of the datastore in the last whole snapshot."),
		seconds:    desc("last_duration_seconds", "How long the last snapshot of this process took."),
		kept:       desc("kept", "Whole snapshots of this cluster on this server."),
		keptBytes:  desc("kept_bytes", "Size of all snapshots on this server."),
		failures:   desc("failures_total", "Snapshots that could not be made (local), or not be copied away (remote), since the start.", "where"),
		remoteLast: desc("remote_last_timestamp_seconds", "When a snapshot was last copied away since the start, in seconds since 1970; not there if none was."),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.last, c.bytes, c.revision, c.seconds, c.kept, c.keptBytes, c.failures, c.remoteLast} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(c.kept, float64(s.Kept))
	gauge(c.keptBytes, float64(s.KeptBytes))
	gauge(c.seconds, s.Took.Seconds())
	if s.Last != nil {
		gauge(c.last, float64(s.Last.Manifest.Time.Unix()))
		gauge(c.bytes, float64(s.Last.Bytes))
		gauge(c.revision, float64(s.Last.Manifest.Revision))
	}
	if !s.RemoteLast.IsZero() {
		gauge(c.remoteLast, float64(s.RemoteLast.Unix()))
	}
	for where, n := range map[string]int{"local": s.Failures, "remote": s.RemoteFailures} {
		ch <- prometheus.MustNewConstMetric(c.failures, prometheus.CounterValue, float64(n), where)
	}
}
