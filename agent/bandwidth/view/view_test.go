package view

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/bitrate"
)

var update = flag.Bool("update", false, "write the golden files")

const mbit = bitrate.Mbit

// node returns two snapshots, two seconds apart, of a node whose uplink has a
// rate or not.
func node(rate bitrate.Rate) (before, after snapshot.Node) {
	limits := func(low, high bitrate.Rate) model.Limits {
		return model.Limits{{Min: low, Max: high}, {Min: low, Max: high}}
	}
	m := model.Node{
		Uplinks: []model.Uplink{{Device: "eth0", Index: 2, Rates: [2]bitrate.Rate{rate, rate}}},
		Pods: []model.Pod{
			{UID: "1", Namespace: "default", Name: "free", Link: 3, Priority: 3},
			{UID: "2", Namespace: "shop", Name: "web", Link: 4, Priority: 5, Limits: limits(20*mbit, 50*mbit), Containers: []model.Container{
				{Name: "log", Cgroup: 9, Limits: model.Limits{{Max: mbit}}},
			}},
			{UID: "3", Namespace: "shop", Name: "big", HostNetwork: true, Priority: 3, Limits: limits(80*mbit, 0)},
		},
	}
	p, assignment, refusals := plan.Make(m, plan.Assignment{})
	in := snapshot.Input{
		Node: "edge-1", Time: time.Unix(1000, 0).UTC(), Model: m, Plan: p, Assignment: assignment, Refusals: refusals,
		Trouble: []string{"sch_fq_codel is not there: queues are first in, first out"},
		Wanted: map[string]policy.Wanted{"2": {From: map[string]policy.Source{
			"priority": {Policy: "shop/web"}, "egress-min": {Policy: "shop/web"}, "egress-max": {Annotation: "bandwidth.kedge.io/egress-max"},
			"ingress-min": {Policy: "shop/web"}, "ingress-max": {Policy: "shop/web"}, "container.log.egress-max": {Policy: "shop/log"},
		}}},
	}
	for d, tree := range p.Uplinks[0].Trees {
		for i, c := range tree.Classes {
			in.Counters = append(in.Counters, snapshot.Counter{Direction: model.Direction(d), Minor: c.Minor, Counters: snapshot.Counters{Bytes: uint64(i)}})
		}
	}
	before = snapshot.Build(in)
	in.Time = in.Time.Add(2 * time.Second)
	counters := slices.Clone(in.Counters)
	for i := range counters {
		c := &counters[i]
		c.Bytes += 250_000 * uint64(c.Minor>>4+1)
		if c.Minor%0x20 == 0 && c.Direction == model.Egress {
			c.Drops, c.Backlog, c.Packets, c.Overlimits = 30, 12_000, 7, 99
		}
	}
	in.Counters = counters
	return before, snapshot.Build(in)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as %s says:\n%s", file, got)
	}
}

func TestTopShowsWhatPassesNow(t *testing.T) {
	for name, rate := range map[string]bitrate.Rate{"top.txt": 100 * mbit, "top-open.txt": 0} {
		var out strings.Builder
		before, after := node(rate)
		if err := WriteTop(&out, NewTop(before, after, DefaultSort)); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.String())
	}
}

func TestPodsAreSortedAsWanted(t *testing.T) {
	before, after := node(100 * mbit)
	for sort, want := range map[string]string{"name": "free big web", "min": "big web free", "max": "web free big", "rate": "web big free"} {
		if err := CheckSort(sort); err != nil {
			t.Error(err)
		}
		var names []string
		for _, r := range NewTop(before, after, sort).Rows {
			if r.Pod != "" && r.Container == "" {
				names = append(names, r.Pod)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("by %s: %s, want %s", sort, got, want)
		}
	}
	for _, sort := range Sorts {
		NewTop(before, after, sort)
	}
	if err := CheckSort("size"); err == nil || !strings.Contains(err.Error(), `"rate"`) {
		t.Errorf("got %v", err)
	}
}

func TestShowTellsLimitsAndWhereTheyComeFrom(t *testing.T) {
	for name, rate := range map[string]bitrate.Rate{"pods.txt": 100 * mbit, "pods-open.txt": 0} {
		var out strings.Builder
		_, after := node(rate)
		for _, pod := range []string{"free", "shop/web", "shop/big"} {
			found, err := Find(after, pod)
			if err != nil || len(found) != 1 {
				t.Fatalf("%s: %+v, %v", pod, found, err)
			}
			if err := WritePod(&out, after, found[0]); err != nil {
				t.Fatal(err)
			}
			out.WriteByte('\n')
		}
		golden(t, name, out.String())
	}
}

func TestAPodThatIsNotThereIsNamedWithThoseThatAre(t *testing.T) {
	_, after := node(0)
	for name, want := range map[string]string{
		"web": "no pod default/web on node edge-1: there is shop/web", "a/b": "kedge bandwidth top", "shop/": "NAMESPACE/POD",
	} {
		if _, err := Find(after, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestAMeasurementEndsInAnOption(t *testing.T) {
	m := NewMeasurement(19_284_311, 97_999_999)
	if m.Option != "--uplink auto=20200k/102M" {
		t.Errorf("got %s", m.Option)
	}
	if got := NewMeasurement(0, 5*bitrate.Gbit).Option; got != "--uplink auto=100k/5250M" {
		t.Errorf("got %s", got)
	}
	var out strings.Builder
	if err := WriteMeasurement(&out, "edge-1", m); err != nil || !strings.Contains(out.String(), "  uplink:\n    - auto=20200k/102M\n") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestAMeasurementTellsWhatHeldIt(t *testing.T) {
	var n snapshot.Node
	m := NewMeasurement(bitrate.Mbit, bitrate.Mbit)
	if got := m.Under(n); got.Held != "" {
		t.Errorf("a node without uplinks: %+v", got)
	}
	n.Uplinks = []snapshot.Uplink{{Device: "eth0"}}
	if got := m.Under(n); got.Held != "" {
		t.Errorf("a rate that is not known holds nothing: %+v", got)
	}
	n.Uplinks[0].Directions = snapshot.Both[snapshot.Line]{Egress: snapshot.Line{Rate: 20 * bitrate.Mbit}, Ingress: snapshot.Line{Rate: 100 * bitrate.Mbit}}
	var out strings.Builder
	if err := WriteMeasurement(&out, "edge-1", m.Under(n)); err != nil || !strings.Contains(out.String(), "holds its uplink to eth0=20M/100M") {
		t.Errorf("%v: %s", err, out.String())
	}
}
