package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Collector is a prometheus.Collector of one node.
type Collector struct {
	source                       func() (snapshot.Node, error)
	up, rate, capacity, promised *prometheus.Desc
	granted, changes, mended     *prometheus.Desc
	classes, pods, containers    family
}

// family are the figures of one kind of class.
type family struct {
	bytes, packets, drops, overlimits, backlog, min, max *prometheus.Desc
}

// New returns a collector of what source tells at each scrape.
func New(source func() (snapshot.Node, error)) *Collector {
	return &Collector{
		source:     source,
		up:         desc("up", "Whether the figures of bandwidth can be read."),
		rate:       desc("uplink_rate", "Bits per second that the line carries.", "uplink", "direction"),
		capacity:   desc("uplink_capacity", "Bits per second that can be promised to pods.", "uplink", "direction"),
		promised:   desc("uplink_promised", "Bits per second that are promised to pods.", "uplink", "direction"),
		granted:    desc("pod_granted", "Bits per second of the pod's guarantee that hold.", "namespace", "pod", "direction"),
		changes:    desc("change_duration_seconds", "From when the node saw a change of what is wished until it was in the kernel; quantiles of the latest 1024."),
		mended:     desc("mended_total", "How often something was put right that somebody else had changed."),
		classes:    newFamily("class", "of the class", "class"),
		pods:       newFamily("pod", "of the pod", "namespace", "pod"),
		containers: newFamily("container", "of the container", "namespace", "pod", "container"),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("kedge_bandwidth_"+name, help, labels, nil)
}

func newFamily(kind, of string, names ...string) family {
	limits := slices.Concat(names, []string{"direction"})
	figures := slices.Concat(limits, []string{"uplink", "scope"})
	if kind == "class" {
		limits = figures
	}
	return family{
		bytes:      desc(kind+"_bytes_total", "Bytes "+of+" that passed.", figures...),
		packets:    desc(kind+"_packets_total", "Packets "+of+" that passed.", figures...),
		drops:      desc(kind+"_drops_total", "Packets "+of+" for which its queue had no room.", figures...),
		overlimits: desc(kind+"_overlimits_total", "How often a packet "+of+" had to wait.", figures...),
		backlog:    desc(kind+"_backlog_bytes", "Bytes "+of+" that wait.", figures...),
		min:        desc(kind+"_min", "Bits per second that are guaranteed.", limits...),
		max:        desc(kind+"_max", "Bits per second that are never exceeded.", limits...),
	}
}

func (f family) all() []*prometheus.Desc {
	return []*prometheus.Desc{f.bytes, f.packets, f.drops, f.overlimits, f.backlog, f.min, f.max}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	own := []*prometheus.Desc{c.up, c.rate, c.capacity, c.promised, c.granted, c.changes, c.mended}
	for _, list := range [][]*prometheus.Desc{own, c.classes.all(), c.pods.all(), c.containers.all()} {
		for _, d := range list {
			ch <- d
		}
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s := scrape{ch: ch, seen: map[string]bool{}}
	n, err := c.source()
	if err != nil {
		s.gauge(c.up, 0)
		return
	}
	s.gauge(c.up, 1)
	s.send(c.mended, prometheus.CounterValue, float64(n.Mended))
	if d := n.Delays; d != nil {
		ch <- prometheus.MustNewConstSummary(c.changes, uint64(d.Count), d.Sum.Seconds(),
			map[float64]float64{0.5: d.P50.Seconds(), 0.99: d.P99.Seconds(), 1: d.Max.Seconds()})
	}
	for _, u := range n.Uplinks {
		for _, d := range model.Directions {
			l := u.Directions.At(d)
			s.known(c.rate, l.Rate, u.Device, d.String())
			if l.Capacity > 0 {
				s.gauge(c.capacity, float64(l.Capacity), u.Device, d.String())
				s.gauge(c.promised, float64(l.Promised), u.Device, d.String())
			}
		}
		for _, class := range u.Classes {
			s.figures(c.classes, class, class.Owner)
			s.gauge(c.classes.min, float64(class.Rate), class.Owner, class.Direction, class.Uplink, scope(class))
			s.gauge(c.classes.max, float64(class.Ceil), class.Owner, class.Direction, class.Uplink, scope(class))
		}
	}
	for _, p := range n.Pods {
		c.pod(s, p)
	}
}

func (c *Collector) pod(s scrape, p snapshot.Pod) {
	for _, class := range p.Classes {
		s.figures(c.pods, class, p.Namespace, p.Name)
	}
	s.limits(c.pods, p.Limits, p.Namespace, p.Name)
	for _, d := range model.Directions {
		if l := p.Limits.At(d); l.Min > 0 {
			s.gauge(c.granted, float64(l.Granted), p.Namespace, p.Name, d.String())
		}
	}
	for _, k := range p.Containers {
		for _, class := range k.Classes {
			s.figures(c.containers, class, p.Namespace, p.Name, k.Name)
		}
		s.limits(c.containers, k.Limits, p.Namespace, p.Name, k.Name)
	}
}

// scrape collects each series once: one that comes twice would cost all others.
// For a moment two pods of a name can be on a node, when one is replaced.
type scrape struct {
	ch   chan<- prometheus.Metric
	seen map[string]bool
}

func (s scrape) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	key := d.String() + "\x00" + strings.Join(labels, "\x00")
	if s.seen[key] {
		return
	}
	s.seen[key] = true
	s.ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
}

func (s scrape) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.send(d, prometheus.GaugeValue, v, labels...)
}

// known sends a rate that is not zero.
func (s scrape) known(d *prometheus.Desc, r bitrate.Rate, labels ...string) {
	if r > 0 {
		s.gauge(d, float64(r), labels...)
	}
}

func (s scrape) limits(f family, limits snapshot.Both[snapshot.Limit], names ...string) {
	for _, d := range model.Directions {
		labels := slices.Concat(names, []string{d.String()})
		s.known(f.min, limits.At(d).Min, labels...)
		s.known(f.max, limits.At(d).Max, labels...)
	}
}

func (s scrape) figures(f family, c snapshot.Class, names ...string) {
	labels := slices.Concat(names, []string{c.Direction, c.Uplink, scope(c)})
	for _, figure := range []struct {
		desc  *prometheus.Desc
		value uint64
	}{
		{f.bytes, c.Counters.Bytes}, {f.packets, c.Counters.Packets}, {f.drops, c.Counters.Drops}, {f.overlimits, c.Counters.Overlimits},
	} {
		s.send(figure.desc, prometheus.CounterValue, float64(figure.value), labels...)
	}
	s.gauge(f.backlog, float64(c.Counters.Backlog), labels...)
}

func scope(c snapshot.Class) string {
	if c.Local {
		return "local"
	}
	return "uplink"
}
