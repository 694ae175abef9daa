package crd_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/kedge-io/kedge/api/edge/v1alpha1/crd"
)

// definitions reads the documents the way the API server does.
func definitions(t *testing.T) map[string]*apiextensions.CustomResourceDefinition {
	t.Helper()
	all := map[string]*apiextensions.CustomResourceDefinition{}
	for doc := range strings.SplitSeq(crd.Bandwidth()+crd.Firewall(), "---\n") {
		if doc == "" {
			continue
		}
		var v1 apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict([]byte(doc), &v1); err != nil {
			t.Fatal(err)
		}
		apiextensionsv1.SetDefaults_CustomResourceDefinition(&v1)
		apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&v1.Spec)
		var internal apiextensions.CustomResourceDefinition
		if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&v1, &internal, nil); err != nil {
			t.Fatal(err)
		}
		internal.Status.StoredVersions = []string{"v1alpha1"}
		all[internal.Spec.Names.Kind] = &internal
	}
	return all
}

// Among other things this bounds what the rules may cost.
func TestServerTakesTheDefinitions(t *testing.T) {
	all := definitions(t)
	if len(all) != 4 {
		t.Fatalf("there are %d definitions", len(all))
	}
	for kind, def := range all {
		if errs := validation.ValidateCustomResourceDefinition(t.Context(), def); len(errs) > 0 {
			t.Errorf("%s: %v", kind, errs.ToAggregate())
		}
	}
}

// checker says what the server would say to objects of one kind.
type checker struct {
	kind   string
	schema *schema.Structural
	fields schemavalidation.SchemaValidator
	rules  *cel.Validator
}

func newChecker(t *testing.T, kind string) checker {
	t.Helper()
	props := definitions(t)[kind].Spec.Validation.OpenAPIV3Schema
	structural, err := schema.NewStructural(props)
	if err != nil {
		t.Fatal(err)
	}
	fields, _, err := schemavalidation.NewSchemaValidator(props)
	if err != nil {
		t.Fatal(err)
	}
	return checker{kind, structural, fields, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

// check returns what the server would say to an object with this spec.
func (c checker) check(t *testing.T, spec string) string {
	t.Helper()
	object := map[string]any{}
	text := "apiVersion: edge.kedge.io/v1alpha1\nkind: " + c.kind + "\nmetadata: {name: p, namespace: default}\nspec: " + spec
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	errs := schemavalidation.ValidateCustomResource(nil, object, c.fields)
	if len(errs) == 0 { // the server does the same
		errs, _ = c.rules.Validate(context.Background(), nil, c.schema, object, nil, celconfig.RuntimeCELCostBudget)
	}
	if len(errs) == 0 {
		return ""
	}
	return errs.ToAggregate().Error()
}

func TestRulesOfPolicies(t *testing.T) {
	c := newChecker(t, "BandwidthPolicy")
	for spec, want := range map[string]string{
		`{egress: {max: 10M}}`:                         "",
		`{egress: {max: 1k}, ingress: {max: 1P}}`:      "",
		`{egress: {min: 10M, max: "10000000"}}`:        "",
		`{egress: {min: 5000000, max: 10Mi}}`:          "",
		`{priority: 6}`:                                "",
		`{podSelector: {}, ingress: {min: 1M}}`:        "",
		`{containers: [web, a-1], ingress: {min: 1M}}`: "",
		`{podSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists}]}, priority: 0}`: "",

		`{}`:                                     "limits and guarantees nothing: give it egress, ingress or priority",
		`{egress: {}}`:                           "spec.egress: Invalid value: neither guarantee nor ceiling: give it min, max or both",
		`{egress: {min: 20M, max: 10M}}`:         "spec.egress: Invalid value: min 20M is more than max 10M: lower the guarantee or raise the ceiling",
		`{ingress: {min: 10Mi, max: 10000000}}`:  "spec.ingress: Invalid value: min 10Mi is more than max 10000000",
		`{egress: {max: 10Mbit}}`:                `spec.egress.max: Invalid value: "10Mbit": this is no bandwidth: write bits per second from 1k to 1P, for instance 10M`,
		`{egress: {min: "1"}}`:                   `spec.egress.min: Invalid value: "1": this is no bandwidth`,
		`{egress: {min: 999}}`:                   `spec.egress.min: Invalid value: 999: this is no bandwidth`,
		`{ingress: {max: 2P}}`:                   `"2P": this is no bandwidth`,
		`{ingress: {max: -5M}}`:                  `"-5M": this is no bandwidth`,
		`{ingress: {max: 0}}`:                    `0: this is no bandwidth`,
		`{ingress: {max: 1.5}}`:                  `must be of type integer,string`,
		`{ingress: {max: ""}}`:                   `"": this is no bandwidth`,
		`{priority: 7}`:                          "7: this is no priority: use 0 to 6, where 6 borrows first",
		`{priority: -1}`:                         "-1: this is no priority",
		`{containers: [web], priority: 1}`:       "priority is that of the whole pod: put it into a policy without containers",
		`{containers: [Web], egress: {max: 1M}}`: `spec.containers[0]: Invalid value: "Web": this is not the name of a container: use 1 to 63 of a-z, 0-9 and -`,
		`{containers: [""], egress: {max: 1M}}`:  `"": this is not the name of a container`,
		`{podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}, egress: {max: 1M}}`:     "one of In, NotIn, Exists and DoesNotExist",
		`{podSelector: {matchExpressions: [{key: a, operator: In}]}, egress: {max: 1M}}`:                  "In and NotIn need values",
		`{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}, egress: {max: 1M}}`: "Exists and DoesNotExist take none",
	} {
		got := c.check(t, spec)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", spec, got, want)
		}
	}
}

func TestExampleIsValid(t *testing.T) {
	raw, err := os.ReadFile("../../../../docs/examples/bandwidth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found, c := 0, newChecker(t, "BandwidthPolicy")
	for doc := range strings.SplitSeq(string(raw), "---\n") {
		kind, spec, _ := strings.Cut(doc, "\nspec:\n")
		if !strings.Contains(kind, "kind: BandwidthPolicy") {
			continue
		}
		found++
		if problem := c.check(t, "\n"+spec); problem != "" {
			t.Errorf("%s\n%s", doc, problem)
		}
	}
	if found != 3 {
		t.Errorf("%d policies", found)
	}
}
