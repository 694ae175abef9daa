package firewall

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

// standing is how one node is as to one firewall.
type standing struct {
	node   string
	state  v1alpha1.FirewallNodeState
	reason string
	// since is when that became due which the node has not acknowledged, or when
	// it said that it does not enforce it.
	since time.Time
	// revision is what the node has.
	revision uint64
}

// maxReason bounds the reason of a problem, in bytes.
const maxReason = 512

// facts is what the status of one firewall is made of.
type summed struct {
	// invalid says why nobody can follow the firewall.
	invalid error
	// missing are address sets that it names and that do not exist.
	missing  []string
	revision uint64
	// nodes are those that it selects.
	nodes []standing
}

// sum makes the status of a firewall. What did not change keeps its times.
func sum(o *v1alpha1.EdgeFirewall, s summed, now time.Time) v1alpha1.EdgeFirewallStatus {
	status := v1alpha1.EdgeFirewallStatus{ObservedGeneration: o.Generation, Revision: int64(s.revision)}
	slices.SortFunc(s.nodes, func(a, b standing) int {
		return cmp.Or(cmp.Compare(urgency(a.state), urgency(b.state)), a.since.Compare(b.since), cmp.Compare(a.node, b.node))
	})
	status.Nodes = counted(s.nodes)
	for _, n := range s.nodes {
		if n.state == v1alpha1.FirewallNodeApplied || len(status.Problems) == v1alpha1.MaxFirewallProblems {
			continue
		}
		status.Problems = append(status.Problems, v1alpha1.FirewallProblem{
			Node: n.node, State: n.state, Reason: short(n.reason), Revision: int64(n.revision),
		})
	}
	status.Slowest = slowest(s.nodes)
	for _, c := range o.Status.Conditions {
		status.Conditions = append(status.Conditions, *c.DeepCopy())
	}
	for _, c := range []metav1.Condition{s.accepted(), s.enforced(status.Nodes)} {
		c.ObservedGeneration, c.LastTransitionTime = o.Generation, metav1.NewTime(now)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	return status
}

// urgency is in which order nodes are named: those that will not do it by
// themselves first.
func urgency(s v1alpha1.FirewallNodeState) int {
	switch s {
	case v1alpha1.FirewallNodeRolledBack, v1alpha1.FirewallNodeFailed, v1alpha1.FirewallNodeUnsupported:
		return 0
	case v1alpha1.FirewallNodePending:
		return 1
	default:
		return 2
	}
}

func counted(nodes []standing) v1alpha1.FirewallNodes {
	n := v1alpha1.FirewallNodes{Selected: int32(len(nodes))}
	for _, at := range nodes {
		switch at.state {
		case v1alpha1.FirewallNodeApplied:
			n.Applied++
		case v1alpha1.FirewallNodeRolledBack:
			n.RolledBack++
		case v1alpha1.FirewallNodeFailed:
			n.Failed++
		case v1alpha1.FirewallNodeUnsupported:
			n.Unsupported++
		default:
			n.Pending++
		}
	}
	return n
}

func slowest(nodes []standing) *v1alpha1.FirewallSlowest {
	var slow *v1alpha1.FirewallSlowest
	for _, at := range nodes {
		if at.state == v1alpha1.FirewallNodeApplied || at.since.IsZero() || slow != nil && !at.since.Before(slow.Since.Time) {
			continue
		}
		// The API keeps seconds: more would be another status each time.
		slow = &v1alpha1.FirewallSlowest{Node: at.node, Since: metav1.NewTime(at.since.Truncate(time.Second)), Revision: int64(at.revision)}
	}
	return slow
}

func short(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason-3], "") + "..."
}

func (s summed) accepted() metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "the firewall can be followed"}
	switch {
	case s.invalid != nil:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalid, s.invalid.Error()
	case len(s.missing) > 0:
		c.Reason = v1alpha1.ReasonAddressSetMissing
		c.Message = fmt.Sprintf("no AddressSet %s exists: what names it matches nothing", some(s.missing))
	}
	return c
}

func (s summed) enforced(n v1alpha1.FirewallNodes) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse}
	of := func(count int32, what string, state v1alpha1.FirewallNodeState) string {
		return fmt.Sprintf("%d of %s %s: %s", count, nodes(n.Selected), what, some(s.in(state)))
	}
	switch {
	case s.invalid != nil:
		c.Reason, c.Message = v1alpha1.ReasonInvalid, "nobody can follow this firewall, see the condition Accepted"
	case n.RolledBack > 0:
		c.Reason, c.Message = v1alpha1.ReasonRolledBack, of(n.RolledBack, "lost their server with it and went back", v1alpha1.FirewallNodeRolledBack)
	case n.Failed > 0:
		c.Reason, c.Message = v1alpha1.ReasonFailed, of(n.Failed, "could not apply it", v1alpha1.FirewallNodeFailed)
	case n.Unsupported > 0:
		c.Reason, c.Message = v1alpha1.ReasonFailed, of(n.Unsupported, "run an agent without a firewall", v1alpha1.FirewallNodeUnsupported)
	case n.Pending > 0:
		c.Reason, c.Message = v1alpha1.ReasonPending, of(n.Pending, "have not acknowledged it yet", v1alpha1.FirewallNodePending)
	case n.Selected == 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonNoNodes, "it selects no node"
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonEnforced, fmt.Sprintf("%s enforce it", nodes(n.Selected))
	}
	return c
}

// in are the names of the nodes in a state.
func (s summed) in(state v1alpha1.FirewallNodeState) []string {
	var names []string
	for _, n := range s.nodes {
		if n.state == state {
			names = append(names, n.node)
		}
	}
	return names
}

func nodes(n int32) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// maxNames keeps messages short.
const maxNames = 5

func some(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}
