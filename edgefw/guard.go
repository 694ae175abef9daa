package edgefw

import (
	"maps"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Sets of pods that the server has not named yet, where the ruleset has none of
// its own for pods that are isolated.
const (
	unknownIngress model.SetID = "pods/unknown-ingress"
	unknownEgress  model.SetID = "pods/unknown-egress"
)

// guard isolates pods that run in a namespace with policies and that the ruleset
// does not know yet: they get nothing and send nothing until it does. Without such
// pods it returns rs.
func guard(rs *model.Ruleset, pods []Pod) *model.Ruleset {
	unknown := unknownOf(rs.Pods, pods)
	if len(unknown) == 0 {
		return rs
	}
	out := &model.Ruleset{Host: rs.Host, Pods: rs.Pods, Sets: maps.Clone(rs.Sets)}
	if out.Sets == nil {
		out.Sets = map[model.SetID]model.Set{}
	}
	out.Pods.IsolatedIngress = isolate(out.Sets, rs.Pods.IsolatedIngress, unknownIngress, unknown)
	out.Pods.IsolatedEgress = isolate(out.Sets, rs.Pods.IsolatedEgress, unknownEgress, unknown)
	return out
}

// isolate adds pods to a set, or to one of its own where there is none, and
// returns its name. Rules may name the former set as well, so the longer one has
// a name of its own.
func isolate(sets map[model.SetID]model.Set, id, own model.SetID, unknown []string) model.SetID {
	all := slices.Concat(sets[id].Pods, unknown)
	slices.Sort(all)
	sets[own] = model.Set{Pods: slices.Compact(all)}
	return own
}

// unknownOf are the UIDs of pods in guarded namespaces that are not known, sorted.
func unknownOf(rules model.PodRules, pods []Pod) []string {
	var out []string
	for _, p := range pods {
		if isGuarded(rules, p.Namespace) && !isKnown(rules, p.UID) {
			out = append(out, p.UID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isGuarded(rules model.PodRules, namespace string) bool {
	_, ok := slices.BinarySearch(rules.Guarded, namespace)
	return ok
}

func isKnown(rules model.PodRules, uid string) bool {
	_, ok := slices.BinarySearch(rules.Known, uid)
	return ok
}
