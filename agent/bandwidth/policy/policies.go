package policy

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// policies takes what the policies of the pod's namespace say.
func (r *resolver) policies(all []v1alpha1.BandwidthPolicy) {
	for _, p := range ranked(all, r.pod.Namespace) {
		if !r.chosen(p) {
			continue
		}
		r.wanted.Policies = append(r.wanted.Policies, Match{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Generation: p.Generation})
		r.policy(p, len(r.wanted.Policies)-1)
	}
}

// ranked are the policies of a namespace, the strongest first.
func ranked(all []v1alpha1.BandwidthPolicy, namespace string) []v1alpha1.BandwidthPolicy {
	var out []v1alpha1.BandwidthPolicy
	for _, p := range all {
		if p.Namespace == namespace {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.BandwidthPolicy) int {
		return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func rankOf(p v1alpha1.BandwidthPolicy) rank {
	if p.Spec.PodSelector == nil {
		return rankDefault
	}
	return rankSelector
}

func (r *resolver) chosen(p v1alpha1.BandwidthPolicy) bool {
	if p.Spec.PodSelector == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(p.Spec.PodSelector)
	if err != nil {
		r.problem(source(p), "", v1alpha1.ReasonInvalid, "BandwidthPolicy %s/%s: podSelector: %v", p.Namespace, p.Name, err)
		return false
	}
	return selector.Matches(labels.Set(r.pod.Labels))
}

func source(p v1alpha1.BandwidthPolicy) Source { return Source{Policy: p.Namespace + "/" + p.Name} }

func (r *resolver) policy(p v1alpha1.BandwidthPolicy, match int) {
	scopes := p.Spec.Containers
	if len(scopes) == 0 {
		scopes = []string{""}
	}
	for _, container := range scopes {
		// A policy may name containers that only some of its pods have.
		if container != "" && !slices.Contains(r.pod.Containers, container) {
			continue
		}
		for d, limit := range map[model.Direction]*v1alpha1.BandwidthLimit{model.Egress: p.Spec.Egress, model.Ingress: p.Spec.Ingress} {
			r.limit(p, match, container, d, limit)
		}
	}
	if p.Spec.Priority == nil {
		return
	}
	if n := *p.Spec.Priority; n < int32(model.MinPriority) || n > int32(model.MaxPriority) {
		r.problem(source(p), PriorityField, v1alpha1.ReasonInvalidValue, "BandwidthPolicy %s/%s: priority %d: expected %d to %d",
			p.Namespace, p.Name, n, model.MinPriority, model.MaxPriority)
		r.wanted.Policies[match].Refused = true
		return
	}
	r.priority = append(r.priority, said{rate: bitrate.Rate(*p.Spec.Priority), from: source(p), rank: rankOf(p), match: match})
}

func (r *resolver) limit(p v1alpha1.BandwidthPolicy, match int, container string, d model.Direction, limit *v1alpha1.BandwidthLimit) {
	if limit == nil {
		return
	}
	for _, isMax := range []bool{false, true} {
		q, word := limit.Min, "min"
		if isMax {
			q, word = limit.Max, "max"
		}
		if q == nil {
			continue
		}
		f := Field{Container: container, Direction: d, Max: isMax}
		rate, err := bitrate.FromQuantity(*q)
		if err != nil {
			r.problem(source(p), f.String(), v1alpha1.ReasonInvalidValue, "BandwidthPolicy %s/%s: %s.%s: %v", p.Namespace, p.Name, d, word, err)
			r.wanted.Policies[match].Refused = true
			continue
		}
		r.fields[f] = append(r.fields[f], said{rate: rate, from: source(p), rank: rankOf(p), match: match})
	}
}
