package metrics

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestFiguresAreShown(t *testing.T) {
	c := New(func() Figures {
		return Figures{
			Nodes: map[string]int{"Applied": 3, "Failed": 1}, Revision: 7, Lag: 1.5, Compiles: 9, CompileSeconds: 0.5,
			Updates: 11, Bytes: 12, KeptOut: 2, Writes: 4,
		}
	})
	c.Joined(0.02)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "/" + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	if want := map[string]float64{
		"kedge_firewall_nodes/Applied": 3, "kedge_firewall_nodes/Failed": 1, "kedge_firewall_newest_revision": 7,
		"kedge_firewall_worst_lag_seconds": 1.5, "kedge_firewall_compiles_total": 9, "kedge_firewall_compile_seconds_total": 0.5,
		"kedge_firewall_updates_total": 11, "kedge_firewall_update_bytes_total": 12, "kedge_firewall_api_refused_total": 2,
		"kedge_firewall_status_writes_total": 4, "kedge_firewall_join_seconds": 1,
	}; !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
