package policy

import (
	"strings"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// FuzzResolve: whatever annotations say, what comes out can be followed and has
// a source, and who is not heard is told why.
func FuzzResolve(f *testing.F) {
	f.Add("egress-max=1M,egress-min=5M,container.web.egress-min=3M,container.log.egress-min=4k", "2M", "")
	f.Add("ingress-max=10Mbit,container..x=1,=,container.db.ingress-max=1M", "1k", "7M")
	f.Fuzz(func(t *testing.T, words, upstream, byPolicy string) {
		pod := Pod{Namespace: "shop", Labels: map[string]string{"app": "web"}, Containers: []string{"web", "log"}, Annotations: map[string]string{}}
		for _, word := range strings.Split(words, ",") {
			key, value, _ := strings.Cut(word, "=")
			pod.Annotations[v1alpha1.AnnotationPrefix+key] = value
		}
		if upstream != "" {
			pod.Annotations[v1alpha1.AnnotationEgress] = upstream
		}
		var policies []v1alpha1.BandwidthPolicy
		if _, err := bitrate.Parse(byPolicy); err == nil {
			policies = append(policies, named("a", 0, egress(byPolicy, "")), named("b", 1, containers("log"), egress(byPolicy, byPolicy)))
		}
		w, problems := Resolve(pod, policies)
		for _, d := range model.Directions {
			follows(t, w, "", w.Limits[d], d)
			var sum bitrate.Rate
			for name, limits := range w.Containers {
				follows(t, w, name, limits[d], d)
				sum += limits[d].Min
			}
			if limit := w.Limits[d].Max; limit > 0 && sum > limit {
				t.Fatalf("containers are guaranteed %s below %s", sum, limit)
			}
		}
		for _, p := range problems {
			if p.Reason == "" || p.Message == "" {
				t.Fatalf("problem %+v says nothing", p)
			}
		}
		if said := len(pod.Annotations); len(policies) == 0 && len(w.From)+len(problems) < said-1 { // two keys may be for one field
			t.Fatalf("%d annotations, %d heard, %d told of", said, len(w.From), len(problems))
		}
	})
}

func follows(t *testing.T, w Wanted, container string, l model.Limit, d model.Direction) {
	t.Helper()
	if l.Max > 0 && l.Min > l.Max {
		t.Fatalf("%q %s: guarantee %s above ceiling %s", container, d, l.Min, l.Max)
	}
	for isMax, rate := range map[bool]bitrate.Rate{false: l.Min, true: l.Max} {
		f := Field{Container: container, Direction: d, Max: isMax}
		if _, ok := w.From[f.String()]; ok != (rate > 0) {
			t.Fatalf("%s is %s and its source is known: %t", f, rate, ok)
		}
	}
}
