package report

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

const (
	egress  = v1alpha1.ResourceEgress
	ingress = v1alpha1.ResourceIngress
)

// node has one uplink of the rate in both directions.
func node(rate bitrate.Rate, pods ...model.Pod) model.Node {
	return model.Node{Uplinks: []model.Uplink{{Device: "eth0", Index: 2, Rates: Rates{rate, rate}}}, Pods: pods}
}

func running(name string, guarantee bitrate.Rate) model.Pod {
	return model.Pod{UID: name, Namespace: "default", Name: name, Limits: model.Limits{model.Egress: {Min: guarantee}}}
}

func wantResources(t *testing.T, in Input, egressKbps, ingressKbps string) {
	t.Helper()
	got := resources(in)
	if got[egress] != egressKbps || got[ingress] != ingressKbps {
		t.Errorf("publishes %v, want egress %q, ingress %q", got, egressKbps, ingressKbps)
	}
}

// whole is what an uplink of 100 Mbit/s can promise, in kbit/s.
func whole(t *testing.T) bitrate.Rate {
	t.Helper()
	c := plan.Capacity(node(100 * bitrate.Mbit).Uplinks[0], model.Egress)
	if c < 80*bitrate.Mbit || c >= 95*bitrate.Mbit {
		t.Fatalf("an uplink of 100 Mbit/s can promise %s", c)
	}
	return c / bitrate.Kbit
}

func text(kbps bitrate.Rate) string { return resource.NewQuantity(int64(kbps), "").AsDec().String() }

func TestResourcesAreWhatTheUplinkCanPromise(t *testing.T) {
	all := whole(t)
	in := Input{Node: node(100 * bitrate.Mbit), Requests: map[string]Request{}}
	wantResources(t, in, text(all), text(all))

	// What pods requested is the scheduler's to subtract.
	in.Node = node(100*bitrate.Mbit, running("a", 50*bitrate.Mbit))
	in.Requests["a"] = Request{Rates: Rates{50 * bitrate.Mbit}}
	wantResources(t, in, text(all), text(all))

	// What was promised beyond it is not known to the scheduler.
	in.Node.Pods[0].Limits[model.Egress].Min = 60 * bitrate.Mbit
	wantResources(t, in, text(all-10000), text(all))

	// What was refused was not promised.
	in.Refusals = []plan.Refusal{{UID: "a", Direction: model.Egress, Granted: 55 * bitrate.Mbit}}
	wantResources(t, in, text(all-5000), text(all))
}

func TestResourcesNeverFallBelowWhatPodsRequested(t *testing.T) {
	requests := map[string]Request{
		"a": {Rates: Rates{50 * bitrate.Mbit}},                 // runs; the API does not know yet
		"b": {Rates: Rates{20 * bitrate.Mbit}, Admitted: true}, // was taken and does not run, after a reboot
		"c": {Rates: Rates{90 * bitrate.Mbit}},                 // was bound past the scheduler
	}
	in := Input{Node: node(10*bitrate.Mbit, running("a", 50*bitrate.Mbit)), Requests: requests}
	small := plan.Capacity(in.Node.Uplinks[0], model.Ingress) / bitrate.Kbit
	wantResources(t, in, "70000", text(small))

	in.Node.Uplinks = node(0).Uplinks
	wantResources(t, in, "70000", "")
	in.Node.Uplinks = nil
	wantResources(t, in, "70000", "")
}

func TestNothingIsPublishedBeforePodsAreKnown(t *testing.T) {
	if got := resources(Input{Node: node(100 * bitrate.Mbit)}); got != nil {
		t.Errorf("publishes %v", got)
	}
}

func TestRequestedIsWhatTheSchedulerCounts(t *testing.T) {
	list := func(q string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{egress: resource.MustParse(q)}}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", Resources: list("9k")}},
		Containers:     []corev1.Container{{Name: "a", Resources: list("4k")}, {Name: "b", Resources: list("3k")}},
	}}
	if got := Requested(pod); got != (Request{Rates: Rates{9 * bitrate.Mbit, 0}}) {
		t.Errorf("requested %v", got)
	}
	now := metav1.Now()
	pod.Status.StartTime = &now
	if !Requested(pod).Admitted {
		t.Error("a pod that was started counts as not admitted")
	}
}

func TestStatusSaysWhatDoesNotFit(t *testing.T) {
	in := Input{Node: node(10*bitrate.Mbit, running("a", bitrate.Mbit)), Requests: map[string]Request{"a": {Rates: Rates{50 * bitrate.Mbit}}}}
	s := status(in)
	c := s.Conditions[1]
	if c.Type != v1alpha1.ConditionGuaranteed || c.Status != "False" || c.Reason != v1alpha1.ReasonOverPromised || !strings.Contains(c.Message, "50 Mbit/s") {
		t.Errorf("condition is %+v", c)
	}
	if s.Promised.Egress.Value() != 1_000_000 || s.Promised.Ingress != nil || s.Uplinks[0].State != v1alpha1.UplinkShaped || s.Reserve.Egress == nil {
		t.Errorf("status is %+v", s)
	}
	in.Requests, in.Trouble = map[string]Request{}, strings.Repeat("ü", 400)
	s = status(in)
	if c := s.Conditions; c[0].Status != "False" || len(c[0].Message) > maxMessage || c[1].Status != "True" || s.Uplinks[0].State != v1alpha1.UplinkFailed {
		t.Errorf("with trouble the status is %+v", s)
	}
	if c := status(Input{Node: node(0)}).Conditions[1]; c.Reason != v1alpha1.ReasonUplinkUnknown {
		t.Errorf("without rates the condition is %+v", c)
	}
}

func TestPoliciesAreSummedUp(t *testing.T) {
	match := policy.Match{Namespace: "default", Name: "p", UID: "u", Generation: 3}
	over, conflict := match, match
	over.Overridden = true
	conflict.Overridden, conflict.Conflict = true, true
	from := map[string]policy.Source{v1alpha1.FieldEgressMin: {Policy: "default/p"}}
	pod := func(name string, m policy.Match, from map[string]policy.Source, problems ...policy.Problem) Pod {
		return Pod{Namespace: "default", Name: name, UID: name, Wanted: policy.Wanted{Policies: []policy.Match{m}, From: from}, Problems: problems}
	}
	in := Input{
		Pods: []Pod{
			pod("applied", match, from), pod("refused", match, from), pod("overridden", over, nil),
			pod("conflicting", conflict, nil, policy.Problem{Source: policy.Source{Policy: "default/p"}, Reason: v1alpha1.ReasonConflict, Message: "older"}),
			// A refusal of what somebody else wished is not the policy's.
			pod("others", match, map[string]policy.Source{v1alpha1.FieldIngressMin: {Policy: "default/p"}}),
		},
		Refusals: []plan.Refusal{
			{UID: "refused", Direction: model.Egress, Reason: v1alpha1.ReasonOverPromised, Message: "figures"},
			{UID: "others", Direction: model.Egress, Reason: v1alpha1.ReasonOverPromised, Message: "of others"},
		},
	}
	all, omitted := policies(in)
	if len(all) != 1 || omitted != 0 {
		t.Fatalf("got %+v, %d", all, omitted)
	}
	p := all[0]
	if p.Matched != 5 || p.Applied != 2 || p.Refused != 1 || p.Overridden != 2 || p.Conflicts != 1 || p.Generation != 3 {
		t.Errorf("sums are %+v", p)
	}
	if len(p.Refusals) != 2 || p.Refusals[0].Pod != "conflicting" || p.Refusals[1].Message != "figures" {
		t.Errorf("refusals are %+v", p.Refusals)
	}
}
