package metrics

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/view"
)

func source() view.Report {
	return view.Report{Role: "server", Links: []view.Link{
		{
			Peer: "edge-1", Up: true, RTT: 3 * time.Millisecond, Reconnects: 2, Streams: 4,
			Traffic:    map[tunnel.Lane]tunnel.Traffic{tunnel.LaneBulk: {In: 10, Out: 20}},
			Packets:    view.Packets{In: 5, Out: 6, Dropped: 1, Lost: 8, Refused: map[string]int64{"foreign-source": 9}},
			DialErrors: map[string]int64{"access": 7},
			Lanes:      []tunnel.LaneStatus{{Class: tunnel.LaneControl, RTT: 3 * time.Millisecond}, {Class: tunnel.LaneBulk}},
		},
		{Peer: "edge-2"},
	}}
}

// gather returns each sample as name{values of labels} and its value.
func gather(t *testing.T, c *Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			var values []string
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "kedge_link_") + "{" + strings.Join(values, ",") + "}"
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

func TestEveryFigureOfALinkIsAMetric(t *testing.T) {
	got := gather(t, New(source))
	for name, want := range map[string]float64{
		"up{edge-1}": 1, "up{edge-2}": 0, "reconnects_total{edge-1}": 2, "streams{edge-1}": 4, "latest_rtt_seconds{edge-1}": 0.003,
		"bytes_total{in,bulk,edge-1}": 10, "bytes_total{out,bulk,edge-1}": 20,
		"packets_total{in,edge-1}": 5, "packets_total{out,edge-1}": 6, "packets_dropped_total{edge-1}": 1,
		"packets_lost_total{edge-1}": 8, "packets_refused_total{edge-1,foreign-source}": 9,
		"dial_errors_total{edge-1,access}": 7,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v, among %v", name, v, want, got)
		}
	}
	if _, ok := got["latest_rtt_seconds{edge-2}"]; ok {
		t.Error("a link that is down has a round trip")
	}
}

func TestRoundTripsOfKnownLanesAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(source)
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx)
		<-time.After(3*Interval + time.Second)
		cancel()
		synctest.Wait()
		got := gather(t, c)
		if got["rtt_seconds{control}"] != 3 {
			t.Errorf("got %v", got)
		}
		if _, ok := got["rtt_seconds{bulk}"]; ok {
			t.Error("a lane without a round trip was sampled")
		}
	})
}
