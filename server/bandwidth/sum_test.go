package bandwidth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func aPolicy(generation int64) *v1alpha1.BandwidthPolicy {
	return &v1alpha1.BandwidthPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", UID: "1", Generation: generation}}
}

// says is what a node reports: pods matched, applied and refused.
func says(node string, generation int64, matched, applied, refused int32) report {
	r := report{node: node, ready: true, policy: v1alpha1.NodePolicyStatus{
		Namespace: "shop", Name: "p", UID: "1", Generation: generation,
		Matched: matched, Applied: applied, Refused: refused, Overridden: matched - applied - refused,
	}}
	for i := range refused {
		r.policy.Refusals = append(r.policy.Refusals, v1alpha1.NodeRefusal{Pod: fmt.Sprintf("web-%d", i), Reason: v1alpha1.ReasonOverPromised, Message: "30M asked, 10M free"})
	}
	return r
}

func silent(r report) report { r.ready = false; return r }

func conflicting(r report) report {
	r.policy.Conflicts = 1
	r.policy.Refusals = append(r.policy.Refusals, v1alpha1.NodeRefusal{Pod: "db", Reason: v1alpha1.ReasonConflict, Message: "policy old says 5M"})
	return r
}

func another(r report) report { r.policy.UID = "0"; return r }

func TestSum(t *testing.T) {
	for name, c := range map[string]struct {
		reports                   []report
		matched, applied, refused int32
		status                    metav1.ConditionStatus
		reason, message           string
		conflicted                bool
	}{
		"no reports":  {nil, 0, 0, 0, "True", "NoPods", "no node has a pod", false},
		"all applied": {[]report{says("a", 2, 3, 3, 0), says("b", 2, 1, 1, 0)}, 4, 4, 0, "True", "Applied", "4 of 4 pods on 2 nodes have all of it", false},
		"overridden":  {[]report{says("a", 2, 3, 2, 0)}, 3, 2, 0, "True", "Applied", "2 of 3 pods on 1 node have all of it, 1 follow annotations", false},
		"refused":     {[]report{says("a", 2, 3, 3, 0), says("b", 2, 2, 1, 1)}, 5, 4, 1, "False", "PodsRefused", "1 of 5 pods do not get all of it", false},
		"earlier generation counts as matched": {
			[]report{says("a", 2, 3, 3, 0), says("b", 1, 2, 1, 1)}, 5, 3, 0, "Unknown", "Pending", "1 of 2 nodes have not reported generation 2 yet: b", false,
		},
		"node is not ready": {
			[]report{says("a", 2, 3, 3, 0), silent(says("b", 2, 2, 2, 0))}, 5, 5, 0, "Unknown", "NodesSilent", "1 of 2 nodes are not ready and go on with what they last reported: b", false,
		},
		"earlier object of the name": {[]report{another(says("a", 2, 3, 3, 0))}, 0, 0, 0, "True", "NoPods", "", false},
		"conflict":                   {[]report{conflicting(says("a", 2, 3, 2, 0))}, 3, 2, 0, "True", "Applied", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sum(aPolicy(2), c.reports, now)
			if s.ObservedGeneration != 2 || s.Matched != c.matched || s.Applied != c.applied || s.Refused != c.refused {
				t.Errorf("generation %d: matched %d, applied %d, refused %d", s.ObservedGeneration, s.Matched, s.Applied, s.Refused)
			}
			applied := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionApplied)
			if applied.Status != c.status || applied.Reason != c.reason || !strings.Contains(applied.Message, c.message) {
				t.Errorf("condition %+v", applied)
			}
			if meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionConflicted) != c.conflicted || !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionAccepted) {
				t.Errorf("conditions %+v", s.Conditions)
			}
		})
	}
}

func TestSelectorThatCannotBeReadIsNotAccepted(t *testing.T) {
	p := aPolicy(1)
	p.Spec.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "not a value"}}
	s := sum(p, nil, now)
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAccepted)
	if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "not a value") || !meta.IsStatusConditionFalse(s.Conditions, v1alpha1.ConditionApplied) {
		t.Errorf("conditions %+v", s.Conditions)
	}
}

func TestRefusalsAreBoundedAndConflictsComeLast(t *testing.T) {
	s := sum(aPolicy(1), []report{conflicting(says("a", 1, 12, 0, 12)), says("b", 1, 12, 0, 12)}, now)
	if len(s.Refusals) != v1alpha1.MaxRefusals || s.Refused != 24 {
		t.Fatalf("%d refusals of %d", len(s.Refusals), s.Refused)
	}
	first, last := s.Refusals[0], s.Refusals[len(s.Refusals)-1]
	if first.Node != "a" || first.Pod != "web-0" || last.Node != "b" {
		t.Errorf("first %+v, last %+v", first, last)
	}
	s = sum(aPolicy(1), []report{conflicting(says("a", 1, 2, 1, 0)), says("b", 1, 1, 0, 1)}, now)
	if len(s.Refusals) != 2 || s.Refusals[0].Node != "b" || s.Refusals[1].Reason != v1alpha1.ReasonConflict {
		t.Errorf("refusals %+v", s.Refusals)
	}
}

func TestSameReportsMakeTheSameStatusLater(t *testing.T) {
	p := aPolicy(1)
	reports := []report{says("a", 1, 3, 2, 1), silent(says("b", 1, 3, 3, 0)), conflicting(says("c", 1, 2, 1, 0))}
	p.Status = sum(p, reports, now)
	reports[0], reports[2] = reports[2], reports[0]
	if again := sum(p, reports, now.Add(time.Hour)); !equality.Semantic.DeepEqual(p.Status, again) {
		t.Errorf("\n was %+v\nis now %+v", p.Status, again)
	}
}

func BenchmarkSumOf700Nodes(b *testing.B) {
	var reports []report
	for i := range 700 {
		reports = append(reports, says(fmt.Sprintf("edge-%d", i), 1, 10, 9, 1))
	}
	p := aPolicy(1)
	for b.Loop() {
		sum(p, reports, now)
	}
}

func BenchmarkIndexTakesAReport(b *testing.B) {
	x := newIndex()
	policies := func(applied int32) (all []v1alpha1.NodePolicyStatus) {
		for i := range 10 {
			p := says("", 1, 10, applied, 0).policy
			p.Name = fmt.Sprintf("p-%d", i)
			all = append(all, p)
		}
		return all
	}
	for n := range 700 {
		x.set(fmt.Sprintf("edge-%d", n), policies(10))
	}
	turn := [][]v1alpha1.NodePolicyStatus{policies(9), policies(10)}
	for i := 0; b.Loop(); i++ {
		x.set("edge-7", turn[i%2])
	}
}

func TestIndexTellsWhichPoliciesChanged(t *testing.T) {
	x := newIndex()
	entry := func(name string, applied int32) v1alpha1.NodePolicyStatus {
		return v1alpha1.NodePolicyStatus{Namespace: "shop", Name: name, UID: types.UID(name), Matched: 3, Applied: applied}
	}
	all := func(string) (bool, bool) { return true, true }
	for _, c := range []struct {
		says []v1alpha1.NodePolicyStatus
		want string
	}{
		{[]v1alpha1.NodePolicyStatus{entry("a", 1), entry("b", 1)}, "[shop/a shop/b]"},
		{[]v1alpha1.NodePolicyStatus{entry("a", 1), entry("b", 1)}, "[]"},
		{[]v1alpha1.NodePolicyStatus{entry("a", 1), entry("b", 2)}, "[shop/b]"},
		{[]v1alpha1.NodePolicyStatus{entry("b", 2), entry("c", 1)}, "[shop/c shop/a]"},
		{nil, "[shop/b shop/c]"},
	} {
		if got := fmt.Sprint(x.set("edge-1", c.says)); got != c.want {
			t.Errorf("changed %s, want %s", got, c.want)
		}
		for _, p := range c.says {
			if r := x.about(types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, all); len(r) != 1 || r[0].policy.Applied != p.Applied {
				t.Errorf("%s: %+v", p.Name, r)
			}
		}
	}
	if len(x.byName) != 0 || len(x.byNode) != 0 {
		t.Errorf("left over: %v %v", x.byName, x.byNode)
	}
}
