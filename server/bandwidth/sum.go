package bandwidth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// report is what one node says about one policy.
type report struct {
	node string
	// ready tells whether the node is; one that is not goes on with what it knew.
	ready  bool
	policy v1alpha1.NodePolicyStatus
}

// total is the sum of all reports about a policy.
type total struct {
	nodes                     int
	matched, applied, refused int32
	overridden, conflicts     int32
	refusals                  []v1alpha1.BandwidthRefusal
	pending, silent           []string
}

// sum makes the status of p from what nodes report about it. Figures of another
// generation count as matched only.
func sum(p *v1alpha1.BandwidthPolicy, reports []report, now time.Time) v1alpha1.BandwidthPolicyStatus {
	t := add(p, reports)
	status := v1alpha1.BandwidthPolicyStatus{
		ObservedGeneration: p.Generation,
		Matched:            t.matched, Applied: t.applied, Refused: t.refused,
		Refusals:   t.refusals[:min(len(t.refusals), v1alpha1.MaxRefusals)],
		Conditions: slices.Clone(p.Status.Conditions),
	}
	for _, c := range []metav1.Condition{accepted(p), t.condition(p), t.conflicted()} {
		c.ObservedGeneration, c.LastTransitionTime = p.Generation, metav1.NewTime(now)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	return status
}

func add(p *v1alpha1.BandwidthPolicy, reports []report) total {
	var t total
	for _, r := range slices.SortedFunc(slices.Values(reports), func(a, b report) int { return cmp.Compare(a.node, b.node) }) {
		if r.policy.UID != p.UID {
			continue // an earlier policy of that name
		}
		t.nodes++
		t.matched += r.policy.Matched
		if !r.ready {
			t.silent = append(t.silent, r.node)
		}
		if r.policy.Generation != p.Generation {
			t.pending = append(t.pending, r.node)
			continue
		}
		t.applied += r.policy.Applied
		t.refused += r.policy.Refused
		t.overridden += r.policy.Overridden
		t.conflicts += r.policy.Conflicts
		for _, f := range r.policy.Refusals {
			t.refusals = append(t.refusals, v1alpha1.BandwidthRefusal{Pod: f.Pod, Node: r.node, Reason: f.Reason, Message: f.Message})
		}
	}
	// What the kernel does not do is more urgent than what people contradict.
	slices.SortStableFunc(t.refusals, func(a, b v1alpha1.BandwidthRefusal) int { return conflict(a) - conflict(b) })
	return t
}

func conflict(r v1alpha1.BandwidthRefusal) int {
	if r.Reason == v1alpha1.ReasonConflict {
		return 1
	}
	return 0
}

func accepted(p *v1alpha1.BandwidthPolicy) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "the policy can be followed"}
	if err := invalid(p); err != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalid, fmt.Sprintf("spec.podSelector: %v", err)
	}
	return c
}

// invalid says why a selector that the definition lets through chooses nothing.
func invalid(p *v1alpha1.BandwidthPolicy) error {
	_, err := metav1.LabelSelectorAsSelector(p.Spec.PodSelector)
	return err
}

func (t total) condition(p *v1alpha1.BandwidthPolicy) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionApplied, Status: metav1.ConditionUnknown}
	switch {
	case invalid(p) != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalid, "nobody can follow this policy, see the condition Accepted"
	case t.refused > 0:
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonPodsRefused
		c.Message = fmt.Sprintf("%d of %s do not get all of it, see status.refusals", t.refused, count(int(t.matched), "pod"))
	case len(t.pending) > 0:
		c.Reason = v1alpha1.ReasonPending
		c.Message = fmt.Sprintf("%d of %s have not reported generation %d yet: %s", len(t.pending), count(t.nodes, "node"), p.Generation, some(t.pending))
	case len(t.silent) > 0:
		c.Reason = v1alpha1.ReasonNodesSilent
		c.Message = fmt.Sprintf("%d of %s are not ready and go on with what they last reported: %s", len(t.silent), count(t.nodes, "node"), some(t.silent))
	case t.matched == 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonNoPods, "no node has a pod that the policy chooses"
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonApplied
		c.Message = fmt.Sprintf("%d of %s on %s have all of it", t.applied, count(int(t.matched), "pod"), count(t.nodes, "node"))
		if t.overridden > 0 {
			c.Message += fmt.Sprintf(", %d follow annotations or other policies in part", t.overridden)
		}
	}
	return c
}

func (t total) conflicted() metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionConflicted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoConflict, Message: "no older policy of the same rank says differently"}
	if t.conflicts > 0 {
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonOlderPolicy
		c.Message = fmt.Sprintf("%d of %s follow an older policy that says differently, see status.refusals", t.conflicts, count(int(t.matched), "pod"))
	}
	return c
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// maxNames keeps messages short.
const maxNames = 5

func some(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}
