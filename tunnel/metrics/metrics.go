package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kedge-io/kedge/tunnel/view"
)

// Interval is how often round trips go into the histogram.
const Interval = 10 * time.Second

// Collector is a prometheus.Collector of links.
type Collector struct {
	source                                                                           func() view.Report
	rtt                                                                              *prometheus.HistogramVec
	up, reconnects, streams, bytes, packets, dropped, lost, refused, dialErrors, now *prometheus.Desc
}

// New returns a collector of what source reports.
func New(source func() view.Report) *Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("kedge_link_"+name, help, labels, nil)
	}
	return &Collector{
		source:     source,
		up:         desc("up", "Whether dials can go through the link now.", "peer"),
		reconnects: desc("reconnects_total", "Links after the first since the daemon started.", "peer"),
		streams:    desc("streams", "Streams that are open.", "peer"),
		now:        desc("latest_rtt_seconds", "Latest round trip of the link.", "peer"),
		bytes:      desc("bytes_total", "Bytes of the link with framing; in comes from the peer.", "peer", "lane", "direction"),
		packets:    desc("packets_total", "Packets of pods that were relayed.", "peer", "direction"),
		dropped:    desc("packets_dropped_total", "Packets of pods that were dropped because the link could not take them.", "peer"),
		lost:       desc("packets_lost_total", "Packets for the peer's pods that its link did not take: it was away or full.", "peer"),
		refused:    desc("packets_refused_total", "Packets from the peer's pods that went nowhere.", "peer", "reason"),
		dialErrors: desc("dial_errors_total", "Dials through the link that failed.", "peer", "reason"),
		rtt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kedge_link_rtt_seconds", Help: "Round trips of all links, sampled every 10 s.",
			// 0.25 ms to 8 s, doubling.
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}, []string{"lane"}),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.reconnects, c.streams, c.now, c.bytes, c.packets, c.dropped, c.lost, c.refused, c.dialErrors} {
		ch <- d
	}
	c.rtt.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, l := range c.source().Links {
		up := 0.0
		if l.Up {
			up = 1
		}
		gauge(c.up, up, l.Peer)
		gauge(c.streams, float64(l.Streams), l.Peer)
		counter(c.reconnects, int64(l.Reconnects), l.Peer)
		if l.RTT > 0 {
			gauge(c.now, l.RTT.Seconds(), l.Peer)
		}
		for lane, t := range l.Traffic {
			counter(c.bytes, t.In, l.Peer, string(lane), "in")
			counter(c.bytes, t.Out, l.Peer, string(lane), "out")
		}
		counter(c.packets, l.Packets.In, l.Peer, "in")
		counter(c.packets, l.Packets.Out, l.Peer, "out")
		counter(c.dropped, l.Packets.Dropped, l.Peer)
		counter(c.lost, l.Packets.Lost, l.Peer)
		for reason, n := range l.Packets.Refused {
			counter(c.refused, n, l.Peer, reason)
		}
		for reason, n := range l.DialErrors {
			counter(c.dialErrors, n, l.Peer, reason)
		}
	}
	c.rtt.Collect(ch)
}

// Run puts the round trip of each lane into the histogram, every Interval
// until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.sample()
		}
	}
}

func (c *Collector) sample() {
	for _, l := range c.source().Links {
		for _, lane := range l.Lanes {
			if lane.RTT > 0 {
				c.rtt.WithLabelValues(string(lane.Class)).Observe(lane.RTT.Seconds())
			}
		}
	}
}
