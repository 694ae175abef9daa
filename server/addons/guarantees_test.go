package addons

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net/netip"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/kubernetes/scheme"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	egressKbps  = corev1.ResourceName("kedge.io/egress-kbps")
	ingressKbps = corev1.ResourceName("kedge.io/ingress-kbps")
)

// guarantees evaluates the packaged policies as the API server does.
type guarantees struct {
	t        *testing.T
	policies map[string]*admissionregistrationv1.MutatingAdmissionPolicy
}

func newGuarantees(t *testing.T) guarantees {
	t.Helper()
	raw, err := render("guarantees", defaultValues(netip.MustParseAddr("10.43.0.10")))
	if err != nil {
		t.Fatal(err)
	}
	g := guarantees{t: t, policies: map[string]*admissionregistrationv1.MutatingAdmissionPolicy{}}
	docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for {
		doc, err := docs.Read()
		if err == io.EOF {
			return g
		}
		if err != nil {
			t.Fatal(err)
		}
		var p admissionregistrationv1.MutatingAdmissionPolicy
		if err := sigsyaml.UnmarshalStrict(doc, &p); err == nil && p.Kind == "MutatingAdmissionPolicy" {
			g.policies[p.Name] = &p
		}
	}
}

// admit returns the pod as the annotations' policy and then each of params
// leave it.
func (g guarantees) admit(pod *corev1.Pod, params ...string) *corev1.Pod {
	g.t.Helper()
	pod = g.mutate("kedge-guarantees-of-annotations", pod, nil)
	for _, text := range params {
		object := map[string]any{}
		if err := sigsyaml.Unmarshal([]byte("spec: "+text), &object); err != nil {
			g.t.Fatal(err)
		}
		pod = g.mutate("kedge-guarantees-of-policies", pod, &unstructured.Unstructured{Object: object})
	}
	return pod
}

func (g guarantees) mutate(name string, pod *corev1.Pod, param runtime.Object) *corev1.Pod {
	g.t.Helper()
	spec := g.policies[name].Spec
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		g.t.Fatal(err)
	}
	declared := plugincel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true}
	compiler.CompileAndStoreVariables(variables(spec), declared, environment.StoredExpressions)
	ctx := compiler.CreateContext(g.t.Context())
	attrs := attributes(pod)
	if !matches(ctx, g.t, compiler, spec, declared, attrs, param) {
		return pod
	}
	declared.HasPatchTypes = true
	evaluator := compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: spec.Mutations[0].JSONPatch.Expression}, declared, environment.StoredExpressions)
	out, err := patch.NewJSONPatcher(evaluator).Patch(ctx, patch.Request{
		VersionedAttributes: attrs, ObjectInterfaces: admission.NewObjectInterfacesFromScheme(scheme.Scheme),
		OptionalVariables: plugincel.OptionalVariableBindings{VersionedParams: param},
	}, celconfig.RuntimeCELCostBudget)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return out.(*corev1.Pod)
}

func variables(spec admissionregistrationv1.MutatingAdmissionPolicySpec) []plugincel.NamedExpressionAccessor {
	var out []plugincel.NamedExpressionAccessor
	for _, v := range spec.Variables {
		out = append(out, &validating.Variable{Name: v.Name, Expression: v.Expression})
	}
	return out
}

func attributes(pod *corev1.Pod) *admission.VersionedAttributes {
	kind := corev1.SchemeGroupVersion.WithKind("Pod")
	pod = pod.DeepCopy()
	pod.SetGroupVersionKind(kind)
	return &admission.VersionedAttributes{
		Attributes: admission.NewAttributesRecord(pod, nil, kind, pod.Namespace, pod.Name,
			corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, nil, false, nil),
		VersionedKind: kind, VersionedObject: pod,
	}
}

func matches(ctx context.Context, t *testing.T, c *plugincel.CompositedCompiler, spec admissionregistrationv1.MutatingAdmissionPolicySpec,
	declared plugincel.OptionalVariableDeclarations, attrs *admission.VersionedAttributes, param runtime.Object,
) bool {
	t.Helper()
	var conditions []plugincel.ExpressionAccessor
	for i := range spec.MatchConditions {
		conditions = append(conditions, (*matchconditions.MatchCondition)(&spec.MatchConditions[i]))
	}
	fail := admissionregistrationv1.Fail
	result := matchconditions.NewMatcher(c.CompileCondition(conditions, declared, environment.StoredExpressions), &fail, "policy", "validate", "test").
		Match(ctx, attrs, param, nil)
	if result.Error != nil {
		t.Fatal(result.Error)
	}
	return result.Matches
}

func podOf(annotations map[string]string, containers ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "pod", Namespace: "default", Annotations: annotations, Labels: map[string]string{"app": "cam", "tier": "gold"},
	}}
	for _, name := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name})
	}
	return pod
}

// held are the figures of the first container, which must be limits as well.
func held(t *testing.T, pod *corev1.Pod) [2]int64 {
	t.Helper()
	r := pod.Spec.Containers[0].Resources
	if !maps.EqualFunc(r.Requests, r.Limits, func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 }) {
		t.Errorf("requests %v and limits %v differ", r.Requests, r.Limits)
	}
	egress, ingress := r.Requests[egressKbps], r.Requests[ingressKbps]
	return [2]int64{egress.Value(), ingress.Value()}
}

func TestGuaranteesBecomeResources(t *testing.T) {
	g := newGuarantees(t)
	const prefix = "bandwidth.kedge.io/"
	for _, c := range []struct {
		name   string
		notes  map[string]string
		params []string
		want   [2]int64
	}{
		{name: "none", notes: map[string]string{"kubernetes.io/egress-bandwidth": "10M", prefix + "egress-max": "10M"}},
		{name: "pod", notes: map[string]string{prefix + "egress-min": "60M", prefix + "ingress-min": "1G"}, want: [2]int64{60000, 1000000}},
		{name: "rounded up", notes: map[string]string{prefix + "egress-min": "1000001"}, want: [2]int64{1001, 0}},
		{name: "no quantity", notes: map[string]string{prefix + "egress-min": "fast", prefix + "ingress-min": "-3M"}},
		{name: "containers beyond the pod", notes: map[string]string{
			prefix + "egress-min": "20M", prefix + "container.a.egress-min": "10M", prefix + "container.b.egress-min": "15M",
		}, want: [2]int64{25000, 0}},
		{name: "pod beyond the containers", notes: map[string]string{prefix + "egress-min": "20M", prefix + "container.a.egress-min": "10M"}, want: [2]int64{20000, 0}},
		{name: "unknown container", notes: map[string]string{prefix + "container.x.egress-min": "10M"}},
		{name: "policy", params: []string{"{podSelector: {matchLabels: {app: cam}}, egress: {min: 5M}}"}, want: [2]int64{5000, 0}},
		{name: "policy in plain digits", params: []string{"{ingress: {min: 5000000}}"}, want: [2]int64{0, 5000}},
		{name: "policy without guarantee", params: []string{"{egress: {max: 5M}}", "{}"}},
		{name: "policy of other pods", params: []string{"{podSelector: {matchLabels: {app: cam, tier: iron}}, egress: {min: 5M}}"}},
		{name: "the larger of two policies", params: []string{"{egress: {min: 5M}}", "{egress: {min: 7M}}", "{egress: {min: 6M}}"}, want: [2]int64{7000, 0}},
		{name: "policy of containers", params: []string{"{containers: [a, b, x], egress: {min: 5M}}"}, want: [2]int64{10000, 0}},
		{
			name: "annotation before policy", notes: map[string]string{prefix + "egress-min": "2M"},
			params: []string{"{egress: {min: 5M}, ingress: {min: 1M}}"}, want: [2]int64{2000, 1000},
		},
		{
			name: "field by field", notes: map[string]string{prefix + "container.a.egress-min": "2M"},
			params: []string{"{containers: [a, b], egress: {min: 5M}}"}, want: [2]int64{7000, 0},
		},
		{name: "in", params: []string{"{podSelector: {matchExpressions: [{key: app, operator: In, values: [x, cam]}]}, egress: {min: 5M}}"}, want: [2]int64{5000, 0}},
		{name: "in of others", params: []string{"{podSelector: {matchExpressions: [{key: app, operator: In, values: [x]}]}, egress: {min: 5M}}"}},
		{name: "not in", params: []string{"{podSelector: {matchExpressions: [{key: none, operator: NotIn, values: [x]}]}, egress: {min: 5M}}"}, want: [2]int64{5000, 0}},
		{name: "not in, but is", params: []string{"{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [cam]}]}, egress: {min: 5M}}"}},
		{name: "exists", params: []string{"{podSelector: {matchExpressions: [{key: app, operator: Exists}]}, egress: {min: 5M}}"}, want: [2]int64{5000, 0}},
		{name: "does not exist", params: []string{"{podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}, egress: {min: 5M}}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := g.admit(podOf(c.notes, "a", "b"), c.params...)
			if got := held(t, pod); got != c.want {
				t.Errorf("resources are %v, want %v", got, c.want)
			}
			again := g.admit(pod, c.params...)
			if got := held(t, again); got != c.want {
				t.Errorf("a second time they are %v, want %v", got, c.want)
			}
		})
	}
}

func TestOwnResourcesAreRespected(t *testing.T) {
	g := newGuarantees(t)
	pod := podOf(map[string]string{"bandwidth.kedge.io/egress-min": "60M", "bandwidth.kedge.io/ingress-min": "30M"}, "a", "b")
	own := corev1.ResourceList{egressKbps: resource.MustParse("1k")}
	pod.Spec.Containers[1].Resources = corev1.ResourceRequirements{Requests: own, Limits: own}
	pod = g.admit(pod, "{egress: {min: 90M}}")
	if got := held(t, pod); got != [2]int64{0, 30000} {
		t.Errorf("resources of the first container are %v", got)
	}
	if got := pod.Spec.Containers[1].Resources.Requests[egressKbps]; got.Value() != 1000 {
		t.Errorf("the person's figure became %v", got)
	}
}

func TestZeroOptsOut(t *testing.T) {
	pod := podOf(map[string]string{"bandwidth.kedge.io/egress-min": "60M"}, "a")
	own := corev1.ResourceList{egressKbps: resource.MustParse("0")}
	pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: own, Limits: own}
	if got := held(t, newGuarantees(t).admit(pod, "{egress: {min: 90M}}")); got != [2]int64{} {
		t.Errorf("resources are %v", got)
	}
}

func TestSidecarsCountAndInitContainersDoNot(t *testing.T) {
	g := newGuarantees(t)
	always := corev1.ContainerRestartPolicyAlways
	pod := podOf(map[string]string{
		"bandwidth.kedge.io/container.a.egress-min": "1M", "bandwidth.kedge.io/container.side.egress-min": "2M",
		"bandwidth.kedge.io/container.init.egress-min": "4M",
	}, "a")
	pod.Spec.InitContainers = []corev1.Container{{Name: "init"}, {Name: "side", RestartPolicy: &always}}
	if got := held(t, g.admit(pod)); got != [2]int64{3000, 0} {
		t.Errorf("resources are %v, want 3000 of egress", got)
	}
}
