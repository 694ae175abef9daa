package metrics

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// gather returns the series as name{label=value,...}.
func gather(t *testing.T, c *Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "kedge_bandwidth_") + "{" + strings.Join(labels, ",") + "}"
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func sample() snapshot.Node {
	class := func(owner string, local bool, n uint64) snapshot.Class {
		return snapshot.Class{Owner: owner, Uplink: "eth0", Direction: "egress", Local: local, Rate: bitrate.Mbit, Ceil: 2 * bitrate.Mbit,
			Counters: snapshot.Counters{Bytes: n, Packets: n + 1, Drops: n + 2, Overlimits: n + 3, Backlog: n + 4}}
	}
	n := snapshot.Node{Uplinks: []snapshot.Uplink{{Device: "eth0", Classes: []snapshot.Class{class("control", false, 10)}}}}
	n.Uplinks[0].Directions.Egress = snapshot.Line{Rate: 100 * bitrate.Mbit, Capacity: 91 * bitrate.Mbit}
	pod := snapshot.Pod{Namespace: "shop", Name: "web", Classes: []snapshot.Class{class("pod shop/web", false, 20), class("local pod shop/web", true, 30)}}
	pod.Limits.Egress = snapshot.Limit{Min: 5, Max: 6}
	log := snapshot.Container{Name: "log", Classes: []snapshot.Class{class("container shop/web/log", false, 40)}}
	log.Limits.Ingress.Max = 7
	pod.Containers = []snapshot.Container{log}
	n.Pods = []snapshot.Pod{pod, pod} // one is being replaced
	return n
}

func TestDelaysOfChangesAreASummary(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(New(func() (snapshot.Node, error) {
		return snapshot.Node{Mended: 2, Delays: &snapshot.Delays{Count: 4, Sum: 8 * time.Millisecond, P99: 3 * time.Millisecond}}, nil
	}))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "kedge_bandwidth_change_duration_seconds" {
			continue
		}
		s := f.GetMetric()[0].GetSummary()
		if s.GetSampleCount() != 4 || s.GetSampleSum() != 0.008 || s.GetQuantile()[1].GetValue() != 0.003 {
			t.Errorf("the summary is %v", s)
		}
		return
	}
	t.Error("there is none")
}

func TestFiguresOfEachLevelAreExported(t *testing.T) {
	got := gather(t, New(func() (snapshot.Node, error) { return sample(), nil }))
	for name, want := range map[string]float64{
		"up{}": 1,
		"uplink_rate{direction=egress,uplink=eth0}":                                                             1e8,
		"uplink_capacity{direction=egress,uplink=eth0}":                                                         91e6,
		"uplink_promised{direction=egress,uplink=eth0}":                                                         0,
		"class_bytes_total{class=control,direction=egress,scope=uplink,uplink=eth0}":                            10,
		"class_min{class=control,direction=egress,scope=uplink,uplink=eth0}":                                    1e6,
		"class_max{class=control,direction=egress,scope=uplink,uplink=eth0}":                                    2e6,
		"pod_bytes_total{direction=egress,namespace=shop,pod=web,scope=uplink,uplink=eth0}":                     20,
		"pod_bytes_total{direction=egress,namespace=shop,pod=web,scope=local,uplink=eth0}":                      30,
		"pod_packets_total{direction=egress,namespace=shop,pod=web,scope=uplink,uplink=eth0}":                   21,
		"pod_drops_total{direction=egress,namespace=shop,pod=web,scope=uplink,uplink=eth0}":                     22,
		"pod_overlimits_total{direction=egress,namespace=shop,pod=web,scope=uplink,uplink=eth0}":                23,
		"pod_backlog_bytes{direction=egress,namespace=shop,pod=web,scope=uplink,uplink=eth0}":                   24,
		"pod_min{direction=egress,namespace=shop,pod=web}":                                                      5,
		"pod_max{direction=egress,namespace=shop,pod=web}":                                                      6,
		"pod_granted{direction=egress,namespace=shop,pod=web}":                                                  0,
		"container_max{container=log,direction=ingress,namespace=shop,pod=web}":                                 7,
		"container_bytes_total{container=log,direction=egress,namespace=shop,pod=web,scope=uplink,uplink=eth0}": 40,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%t), want %v, among %q", name, v, ok, want, slices.Sorted(maps.Keys(got)))
		}
	}
	for name := range got {
		if strings.HasPrefix(name, "uplink_rate{direction=ingress") || strings.HasPrefix(name, "pod_min{direction=ingress") {
			t.Errorf("%s is there though nobody said it", name)
		}
	}
}

func TestWithoutFiguresThereIsOnlyThat(t *testing.T) {
	got := gather(t, New(func() (snapshot.Node, error) { return snapshot.Node{}, errors.New("no kernel") }))
	if len(got) != 1 || got["up{}"] != 0 {
		t.Errorf("got %v", got)
	}
}
