package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// named makes a policy of the pod's namespace for pods with app=web, minute by
// minute younger.
func named(name string, minute int, change ...func(*v1alpha1.BandwidthPolicySpec)) v1alpha1.BandwidthPolicy {
	p := v1alpha1.BandwidthPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(minute)*60, 0)),
	}}
	p.Spec.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	for _, f := range change {
		f(&p.Spec)
	}
	return p
}

func egress(low, high string) func(*v1alpha1.BandwidthPolicySpec) {
	return func(s *v1alpha1.BandwidthPolicySpec) { s.Egress = limit(low, high) }
}

func ingress(low, high string) func(*v1alpha1.BandwidthPolicySpec) {
	return func(s *v1alpha1.BandwidthPolicySpec) { s.Ingress = limit(low, high) }
}

func limit(low, high string) *v1alpha1.BandwidthLimit {
	l := &v1alpha1.BandwidthLimit{}
	for text, to := range map[string]**resource.Quantity{low: &l.Min, high: &l.Max} {
		if text != "" {
			q := resource.MustParse(text)
			*to = &q
		}
	}
	return l
}

func containers(names ...string) func(*v1alpha1.BandwidthPolicySpec) {
	return func(s *v1alpha1.BandwidthPolicySpec) { s.Containers = names }
}

func priority(n int32) func(*v1alpha1.BandwidthPolicySpec) {
	return func(s *v1alpha1.BandwidthPolicySpec) { s.Priority = &n }
}

func byDefault(s *v1alpha1.BandwidthPolicySpec) { s.PodSelector = nil }

func selects(sel metav1.LabelSelector) func(*v1alpha1.BandwidthPolicySpec) {
	return func(s *v1alpha1.BandwidthPolicySpec) { s.PodSelector = &sel }
}

// text writes what is wanted as the cases below have it: fields with rate and
// source, problems, policies that did not fully count.
func text(w Wanted, problems []Problem) []string {
	var out []string
	rates := map[string]model.Limits{"": w.Limits}
	maps.Copy(rates, w.Containers)
	for container, limits := range rates {
		for _, d := range model.Directions {
			for _, isMax := range []bool{false, true} {
				rate := limits[d].Min
				if isMax {
					rate = limits[d].Max
				}
				if f := (Field{Container: container, Direction: d, Max: isMax}).String(); rate > 0 {
					out = append(out, fmt.Sprintf("%s=%s %s", f, rate, short(w.From[f])))
				}
			}
		}
	}
	if from, ok := w.From[PriorityField]; ok {
		out = append(out, fmt.Sprintf("priority=%d %s", w.Priority, short(from)))
	}
	for _, m := range w.Policies {
		for word, is := range map[string]bool{"overridden": m.Overridden, "conflict": m.Conflict, "refused": m.Refused} {
			if is {
				out = append(out, m.Name+" "+word)
			}
		}
	}
	for _, p := range problems {
		out = append(out, fmt.Sprintf("! %s %s %s", p.Reason, p.Field, short(p.Source)))
	}
	slices.Sort(out)
	return out
}

func short(s Source) string {
	if s.Policy != "" {
		return strings.TrimPrefix(s.Policy, "shop/")
	}
	word, _, _ := strings.Cut(s.Annotation, ".")
	return word
}

func TestTheFirstSourceThatSaysSomethingCounts(t *testing.T) {
	const own, upstream = v1alpha1.AnnotationEgressMax, v1alpha1.AnnotationEgress
	webMax := v1alpha1.ContainerAnnotation("web", v1alpha1.FieldEgressMax)
	foreign := named("foreign", 0, egress("", "1M"))
	foreign.Namespace = "other"
	for name, c := range map[string]struct {
		annotations map[string]string
		policies    []v1alpha1.BandwidthPolicy
		want        []string
	}{
		"nobody says anything": {want: nil},
		"kedge's annotation goes before upstream's": {
			annotations: map[string]string{own: "2M", upstream: "3M", v1alpha1.AnnotationIngress: "4M"},
			want:        []string{"egress-max=2M bandwidth", "ingress-max=4M kubernetes"},
		},
		"annotations go before policies": {
			annotations: map[string]string{upstream: "3M"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, egress("1M", "9M"))},
			want:        []string{"a overridden", "egress-max=3M kubernetes", "egress-min=1M a"},
		},
		"who says the same is not overridden": {
			annotations: map[string]string{own: "9M"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, egress("", "9M"))},
			want:        []string{"egress-max=9M bandwidth"},
		},
		"policies with a selector go before the default, field by field": {
			policies: []v1alpha1.BandwidthPolicy{named("default", 0, byDefault, egress("1M", "5M"), ingress("", "6M"), priority(1)), named("a", 9, egress("", "9M"))},
			want:     []string{"default overridden", "egress-max=9M a", "egress-min=1M default", "ingress-max=6M default", "priority=1 default"},
		},
		"the oldest policy goes first and the other hears of it": {
			policies: []v1alpha1.BandwidthPolicy{named("young", 2, egress("", "5M"), priority(6)), named("old", 1, egress("", "7M"), priority(0))},
			want: []string{"! Conflict egress-max young", "! Conflict priority young", "egress-max=7M old", "priority=0 old",
				"young conflict", "young overridden"},
		},
		"of equally old ones the name decides": {
			policies: []v1alpha1.BandwidthPolicy{named("b", 1, egress("", "5M")), named("a", 1, egress("", "7M"))},
			want:     []string{"! Conflict egress-max b", "b conflict", "b overridden", "egress-max=7M a"},
		},
		"defaults conflict among themselves only": {
			policies: []v1alpha1.BandwidthPolicy{named("a", 3, egress("", "1M")), named("b", 1, byDefault, egress("", "2M")), named("c", 2, byDefault, egress("", "3M"))},
			want:     []string{"b overridden", "c overridden", "egress-max=1M a"},
		},
		"other namespaces and labels do not matter": {
			policies: []v1alpha1.BandwidthPolicy{foreign, named("db", 0, egress("", "1M"), selects(metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}))},
		},
		"an empty selector chooses all, a bad one nobody": {
			policies: []v1alpha1.BandwidthPolicy{
				named("all", 0, egress("", "1M"), selects(metav1.LabelSelector{})),
				named("bad", 0, egress("", "2M"), selects(metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}})),
			},
			want: []string{"! Invalid  bad", "egress-max=1M all"},
		},
		"containers have fields of their own": {
			annotations: map[string]string{webMax: "2M", own: "5M"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, containers("web", "log", "absent"), egress("1M", "3M"))},
			want: []string{"a overridden", "container.log.egress-max=3M a", "container.log.egress-min=1M a",
				"container.web.egress-max=2M bandwidth", "container.web.egress-min=1M a", "egress-max=5M bandwidth"},
		},
		"what cannot be read counts as not said": {
			annotations: map[string]string{own: "10Mbit", webMax: "900"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, egress("", "9M"))},
			want:        []string{"! InvalidValue container.web.egress-max bandwidth", "! InvalidValue egress-max bandwidth", "egress-max=9M a"},
		},
		"keys that nobody reads are told": {
			annotations: map[string]string{v1alpha1.AnnotationPrefix + "egres-max": "1M", "bandwidth.kedge.iox/y": "", v1alpha1.ContainerAnnotation("db", "egress-max"): "1M"},
			want:        []string{"! UnknownContainer container.db.egress-max bandwidth", "! UnknownKey egres-max bandwidth"},
		},
		"a weaker guarantee above the ceiling is dropped": {
			annotations: map[string]string{own: "2M"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, egress("5M", ""))},
			want:        []string{"! MinAboveMax egress-min a", "a refused", "egress-max=2M bandwidth"},
		},
		"a weaker ceiling below the guarantee is dropped": {
			annotations: map[string]string{v1alpha1.AnnotationEgressMin: "5M"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, egress("", "2M"))},
			want:        []string{"! MinAboveMax egress-max a", "a refused", "egress-min=5M bandwidth"},
		},
		"said in one place the ceiling counts": {
			annotations: map[string]string{v1alpha1.AnnotationEgressMin: "5M", own: "2M"},
			want:        []string{"! MinAboveMax egress-min bandwidth", "egress-max=2M bandwidth"},
		},
		"guarantees of containers must fit below the pod's ceiling": {
			annotations: map[string]string{own: "5M", v1alpha1.ContainerAnnotation("web", "egress-min"): "3M"},
			policies:    []v1alpha1.BandwidthPolicy{named("a", 0, containers("log"), egress("3M", ""))},
			want:        []string{"! MinAboveMax container.log.egress-min a", "a refused", "container.web.egress-min=3M bandwidth", "egress-max=5M bandwidth"},
		},
		"a policy from before validation is no trouble": {
			policies: []v1alpha1.BandwidthPolicy{named("a", 0, egress("", "5"), priority(9))},
			want:     []string{"! InvalidValue egress-max a", "! InvalidValue priority a", "a refused"},
		},
	} {
		pod := Pod{Namespace: "shop", Name: "web-0", Labels: map[string]string{"app": "web"}, Annotations: c.annotations, Containers: []string{"web", "log"}}
		for range 2 { // in any order
			if got := text(Resolve(pod, c.policies)); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
			slices.Reverse(c.policies)
		}
	}
}

func TestProblemsSayWhatWouldBeRight(t *testing.T) {
	pod := Pod{Namespace: "shop", Labels: map[string]string{"app": "web"}, Containers: []string{"web", "log"}, Annotations: map[string]string{
		v1alpha1.AnnotationEgressMax:                     "10Mbit",
		v1alpha1.AnnotationPrefix + "max":                "1M",
		v1alpha1.ContainerAnnotation("db", "egress-max"): "1M",
		v1alpha1.AnnotationIngressMax:                    "1M",
	}}
	_, problems := Resolve(pod, []v1alpha1.BandwidthPolicy{named("a", 0, ingress("2M", "")), named("b", 1, ingress("3M", ""))})
	var all []string
	for _, p := range problems {
		all = append(all, p.Message)
	}
	joined := strings.Join(all, "\n")
	for _, want := range []string{
		`annotation bandwidth.kedge.io/egress-max: bandwidth "10Mbit" is not a quantity: expected a number of bits per second such as 500k, 10M or 1G (here 10M)`,
		"annotation bandwidth.kedge.io/max: nobody reads this key; expected bandwidth.kedge.io/{egress,ingress}-{min,max}",
		`annotation bandwidth.kedge.io/container.db.egress-max: the pod has no container "db"; it has web, log`,
		"BandwidthPolicy shop/b: ingress-min of 3 Mbit/s does not count: BandwidthPolicy shop/a, which comes first, says 2 Mbit/s",
		"BandwidthPolicy shop/a: ingress-min of 2 Mbit/s does not count: annotation bandwidth.kedge.io/ingress-max says 1 Mbit/s; a guarantee must not be above the ceiling",
	} {
		if !strings.Contains(joined, want) {
			t.Errorf("missing %q in:\n%s", want, joined)
		}
	}
}
