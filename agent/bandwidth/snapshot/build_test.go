package snapshot

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

const mbit = bitrate.Mbit

func limits2(low, high bitrate.Rate) model.Limits {
	return model.Limits{{Min: low, Max: high}, {Min: low, Max: high}}
}

// sample is a node with two pods, one of which has a container with limits.
func sample() Input {
	node := model.Node{
		Uplinks: []model.Uplink{{Device: "eth0", Index: 2, Rates: [2]bitrate.Rate{100 * mbit, 100 * mbit}}},
		Pods: []model.Pod{
			{UID: "u2", Namespace: "shop", Name: "web", Link: 4, Limits: limits2(20*mbit, 50*mbit), Priority: 3, Containers: []model.Container{
				{Name: "plain", Cgroup: 7}, {Name: "log", Ports: []model.Port{{Protocol: 6, Number: 80}}, Limits: limits2(0, mbit)},
			}},
			{UID: "u1", Namespace: "shop", Name: "greedy", Link: 3, Limits: limits2(90*mbit, 0), Priority: 3},
		},
	}
	_, before, _ := plan.Make(model.Node{Uplinks: node.Uplinks, Pods: node.Pods[:1]}, plan.Assignment{})
	p, assignment, refusals := plan.Make(node, before)
	in := Input{
		Node: "edge-1", Time: time.Unix(1000, 0).UTC(), Attribution: "ports", Model: node, Plan: p, Assignment: assignment, Refusals: refusals,
		Wanted: map[string]policy.Wanted{"u2": {From: map[string]policy.Source{
			"egress-max": {Annotation: "kubernetes.io/egress-bandwidth"}, "container.log.ingress-max": {Policy: "shop/logs"},
		}}},
		Problems: map[string][]policy.Problem{"u2": {{Reason: v1alpha1.ReasonUnknownKey, Message: "nobody reads it"}}},
	}
	for _, c := range p.Uplinks[0].Trees[model.Egress].Classes {
		counter := Counter{Minor: c.Minor, Counters: Counters{Bytes: uint64(c.Minor), Packets: 1}}
		if c.Queue > 0 {
			counter.Drops, counter.Backlog = 2, 1500
		}
		in.Counters = append(in.Counters, counter)
	}
	return in
}

func TestASnapshotSaysWhatPodsGetAndWhy(t *testing.T) {
	n := Build(sample())
	if len(n.Pods) != 2 || n.Pods[0].Name != "greedy" || n.Pods[1].Name != "web" {
		t.Fatalf("pods: %+v", n.Pods)
	}
	web := n.Pods[1]
	if got := web.Limits.Egress; got != (Limit{Min: 20 * mbit, Max: 50 * mbit, MaxFrom: "annotation kubernetes.io/egress-bandwidth", Granted: 20 * mbit}) {
		t.Errorf("limits: %+v", got)
	}
	if len(web.Containers) != 1 || web.Containers[0].Attribution != "ports" || web.Containers[0].Limits.Ingress.MaxFrom != "BandwidthPolicy shop/logs" {
		t.Errorf("containers: %+v", web.Containers)
	}
	// One class for each direction on the uplink, one for what stays.
	for what, got := range map[string]int{"pod": len(web.Classes), "rest": len(web.Rest), "container": len(web.Containers[0].Classes)} {
		if got != 4 {
			t.Errorf("%d classes of the %s", got, what)
		}
	}
	if got := web.Classes[0].Counters; got.Drops != 4 || got.Backlog != 3000 {
		t.Errorf("an inner class counts what its leaves do: %+v", got)
	}
	if len(web.Problems) != 1 || len(n.Pods[0].Problems) != 2 || n.Pods[0].Problems[0].Reason != v1alpha1.ReasonOverPromised {
		t.Errorf("problems: %+v and %+v", web.Problems, n.Pods[0].Problems)
	}
	line := n.Uplinks[0].Directions.Egress
	if line.Promised != 20*mbit || line.Capacity < 90*mbit || line.Reserve != 2*mbit || len(n.Uplinks[0].Classes) != 8 {
		t.Errorf("uplink: %+v", n.Uplinks[0])
	}
}

func TestASnapshotSurvivesJSON(t *testing.T) {
	n := Build(sample())
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back Node
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(n, back) {
		t.Errorf("%v: got %+v, want %+v", err, back, n)
	}
}

func TestNothingIsPromisedWithoutARate(t *testing.T) {
	in := sample()
	in.Model.Uplinks[0].Rates = [2]bitrate.Rate{}
	in.Plan, in.Assignment, in.Refusals = plan.Make(in.Model, in.Assignment)
	n := Build(in)
	if n.Uplinks[0].Directions.Egress.Promised != 0 || n.Pods[1].Limits.Egress.Granted != 0 {
		t.Errorf("got %+v", n)
	}
}

func TestRatesAreOfTheTimeBetween(t *testing.T) {
	in := sample()
	before := Build(in)
	in.Time = in.Time.Add(2 * time.Second)
	for i := range in.Counters {
		in.Counters[i].Bytes += 250_000
		in.Counters[i].Drops += 4
	}
	after := Build(in)
	speeds := Between(before, after)
	got := speeds.Of(after.Pods[0].Classes[0])
	if got.Rate != mbit || got.Drops != 2 {
		t.Errorf("got %+v", got)
	}
	if got := speeds.Of(Class{Handle: "6b65:fff0"}); got != (Speed{}) {
		t.Errorf("an unknown class goes at %+v", got)
	}
	// A class that was made anew counts from zero.
	if got := Between(after, before).Of(after.Pods[0].Classes[0]); got != (Speed{}) {
		t.Errorf("got %+v", got)
	}
	in.Time = in.Time.Add(time.Second)
	for i := range in.Counters {
		in.Counters[i].Bytes = 10
	}
	if got := Between(after, Build(in)).Of(after.Pods[0].Classes[0]); got.Rate != 0 {
		t.Errorf("got %+v", got)
	}
}
