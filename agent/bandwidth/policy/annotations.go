package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// annotations takes what the pod says itself.
func (r *resolver) annotations() {
	keys := slices.Sorted(maps.Keys(r.pod.Annotations))
	for _, key := range keys {
		if strings.HasPrefix(key, v1alpha1.AnnotationPrefix) {
			r.own(key)
		}
	}
	for key, d := range map[string]model.Direction{v1alpha1.AnnotationEgress: model.Egress, v1alpha1.AnnotationIngress: model.Ingress} {
		if _, ok := r.pod.Annotations[key]; ok {
			r.annotation(key, Field{Direction: d, Max: true}, rankUpstream)
		}
	}
}

func (r *resolver) own(key string) {
	from := Source{Annotation: key}
	container, word, ok := v1alpha1.SplitAnnotation(key)
	switch {
	case !ok:
		r.problem(from, strings.TrimPrefix(key, v1alpha1.AnnotationPrefix), v1alpha1.ReasonUnknownKey,
			"annotation %s: nobody reads this key; expected %s{egress,ingress}-{min,max} or %sNAME.{egress,ingress}-{min,max}",
			key, v1alpha1.AnnotationPrefix, v1alpha1.AnnotationContainerPrefix)
	case container != "" && !slices.Contains(r.pod.Containers, container):
		r.problem(from, fieldOf(container, word).String(), v1alpha1.ReasonUnknownContainer,
			"annotation %s: the pod has no container %q; it has %s", key, container, strings.Join(r.pod.Containers, ", "))
	default:
		r.annotation(key, fieldOf(container, word), rankAnnotation)
	}
}

func (r *resolver) annotation(key string, f Field, rank rank) {
	from := Source{Annotation: key}
	rate, err := bitrate.Parse(r.pod.Annotations[key])
	if err != nil {
		r.problem(from, f.String(), v1alpha1.ReasonInvalidValue, "annotation %s: %v", key, err)
		return
	}
	r.fields[f] = append(r.fields[f], said{rate: rate, from: from, rank: rank, match: -1})
}
