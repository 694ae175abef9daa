package policy

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Resolve decides what a pod is to get. Policies of other namespaces are passed
// over; the order of policies does not matter. Problems are sorted.
func Resolve(pod Pod, policies []v1alpha1.BandwidthPolicy) (Wanted, []Problem) {
	r := &resolver{pod: pod, fields: map[Field][]said{}, wanted: Wanted{
		Priority: model.DefaultPriority, Containers: map[string]model.Limits{}, From: map[string]Source{},
	}}
	r.annotations()
	r.policies(policies)
	counts := map[Field]said{}
	for f, all := range r.fields {
		counts[f] = r.settle(f.String(), all, bitrate.Rate.Human)
	}
	r.contradictions(counts)
	r.fit(counts)
	r.take(counts)
	if len(r.priority) > 0 {
		s := r.settle(PriorityField, r.priority, func(n bitrate.Rate) string { return strconv.Itoa(int(n)) })
		r.wanted.Priority, r.wanted.From[PriorityField] = model.Priority(s.rate), s.from
	}
	slices.SortFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Source.String(), b.Source.String()), cmp.Compare(a.Message, b.Message))
	})
	return r.wanted, r.problems
}

// settle returns what counts for a field and marks policies that say otherwise.
func (r *resolver) settle(field string, all []said, text func(bitrate.Rate) string) said {
	slices.SortStableFunc(all, func(a, b said) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.match, b.match)) })
	winner := all[0]
	for _, s := range all[1:] {
		if s.match < 0 || s.rate == winner.rate {
			continue
		}
		m := &r.wanted.Policies[s.match]
		m.Overridden = true
		if s.rank != winner.rank {
			continue
		}
		m.Conflict = true
		r.problem(s.from, field, v1alpha1.ReasonConflict, "%s: %s of %s does not count: %s, which comes first, says %s",
			s.from, field, text(s.rate), winner.from, text(winner.rate))
	}
	return winner
}

// contradictions drops the weaker of a guarantee and a ceiling below it.
func (r *resolver) contradictions(counts map[Field]said) {
	for _, f := range sortedFields(counts) {
		if f.Max {
			continue
		}
		low := counts[f]
		above := Field{Container: f.Container, Direction: f.Direction, Max: true}
		high, ok := counts[above]
		if !ok || low.rate <= high.rate {
			continue
		}
		lost, loser, winner := f, low, high
		if low.stronger(high) {
			lost, loser, winner = above, high, low
		}
		delete(counts, lost)
		r.refused(loser)
		r.problem(loser.from, lost.String(), v1alpha1.ReasonMinAboveMax,
			"%s: %s of %s does not count: %s says %s; a guarantee must not be above the ceiling",
			loser.from, lost, loser.rate.Human(), winner.from, winner.rate.Human())
	}
}

// fit drops guarantees of containers that are together above the pod's ceiling,
// the weakest first.
func (r *resolver) fit(counts map[Field]said) {
	for _, d := range model.Directions {
		limit, ok := counts[Field{Direction: d, Max: true}]
		if !ok {
			continue
		}
		var kids []Field
		for _, f := range sortedFields(counts) {
			if f.Container != "" && f.Direction == d && !f.Max {
				kids = append(kids, f)
			}
		}
		slices.SortStableFunc(kids, func(a, b Field) int {
			return cmp.Or(cmp.Compare(counts[a].rank, counts[b].rank), cmp.Compare(counts[a].match, counts[b].match))
		})
		var sum bitrate.Rate
		for _, f := range kids {
			s := counts[f]
			if sum+s.rate <= limit.rate {
				sum += s.rate
				continue
			}
			delete(counts, f)
			r.refused(s)
			r.problem(s.from, f.String(), v1alpha1.ReasonMinAboveMax,
				"%s: %s of %s does not count: %s limits the whole pod to %s, of which its other containers are guaranteed %s",
				s.from, f, s.rate.Human(), limit.from, limit.rate.Human(), sum.Human())
		}
	}
}

func (r *resolver) refused(s said) {
	if s.match >= 0 {
		r.wanted.Policies[s.match].Refused = true
	}
}

func (r *resolver) take(counts map[Field]said) {
	for f, s := range counts {
		limits := r.wanted.Limits
		if f.Container != "" {
			limits = r.wanted.Containers[f.Container]
		}
		if f.Max {
			limits[f.Direction].Max = s.rate
		} else {
			limits[f.Direction].Min = s.rate
		}
		if f.Container != "" {
			r.wanted.Containers[f.Container] = limits
		} else {
			r.wanted.Limits = limits
		}
		r.wanted.From[f.String()] = s.from
	}
}

func sortedFields(counts map[Field]said) []Field {
	return slices.SortedFunc(maps.Keys(counts), func(a, b Field) int { return cmp.Compare(a.String(), b.String()) })
}
