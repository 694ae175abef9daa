package report

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// policies sums up by policy what becomes of the pods that it chooses, sorted by
// name, and how many policies a report has no room for.
func policies(in Input) (out []v1alpha1.NodePolicyStatus, omitted int32) {
	byName := map[policyName]*v1alpha1.NodePolicyStatus{}
	pods := slices.SortedFunc(slices.Values(in.Pods), func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	for _, p := range pods {
		for _, m := range p.Wanted.Policies {
			name := policyName{m.Namespace, m.Name}
			if byName[name] == nil {
				byName[name] = &v1alpha1.NodePolicyStatus{Namespace: m.Namespace, Name: m.Name, UID: types.UID(m.UID), Generation: m.Generation}
			}
			count(byName[name], in, p, m)
		}
	}
	for _, s := range byName {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b v1alpha1.NodePolicyStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if more := len(out) - v1alpha1.MaxNodePolicies; more > 0 {
		return out[:v1alpha1.MaxNodePolicies], int32(more)
	}
	return out, 0
}

type policyName struct{ namespace, name string }

// String is how package policy names the source of a field.
func (n policyName) String() string { return n.namespace + "/" + n.name }

// count adds what becomes of one pod: it is applied, refused or overridden.
func count(s *v1alpha1.NodePolicyStatus, in Input, p Pod, m policy.Match) {
	s.Matched++
	own := policyName{m.Namespace, m.Name}.String()
	refusal := refused(in, p, own)
	switch {
	case m.Refused || refusal != nil:
		s.Refused++
	case m.Overridden:
		s.Overridden++
	default:
		s.Applied++
	}
	if m.Overridden && m.Conflict && !m.Refused && refusal == nil {
		s.Conflicts++
	}
	if refusal != nil {
		say(s, p, refusal.Reason, refusal.Message)
		return
	}
	for _, problem := range p.Problems {
		if problem.Source.Policy == own {
			say(s, p, problem.Reason, problem.Message)
			return // one line for each pod
		}
	}
}

// refused is the first refusal by the plan of what the pod has from the policy.
func refused(in Input, p Pod, own string) *plan.Refusal {
	for i, r := range in.Refusals {
		if r.UID != p.UID {
			continue
		}
		for field, source := range p.Wanted.From {
			if source.Policy == own && isGuarantee(field, r.Direction) {
				return &in.Refusals[i]
			}
		}
	}
	return nil
}

func say(s *v1alpha1.NodePolicyStatus, p Pod, reason, message string) {
	if len(s.Refusals) < v1alpha1.MaxRefusals {
		s.Refusals = append(s.Refusals, v1alpha1.NodeRefusal{Pod: p.Name, Reason: reason, Message: bound(message)})
	}
}
