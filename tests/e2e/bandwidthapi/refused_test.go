package bandwidthapi

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// All rules of the definition have unit tests beside it; here is that they are
// in force.
func policies(t *testing.T, a *api) {
	for spec, want := range map[string]string{
		`{egress: {min: 5M, max: 10M}, ingress: {max: 2500000}, priority: 6}`:              "",
		`{podSelector: {matchLabels: {app: video}}, containers: [web], egress: {min: 1k}}`: "",

		`{egress: {min: 20M, max: 10M}}`: "spec.egress: Invalid value: min 20M is more than max 10M: lower the guarantee or raise the ceiling",
		`{ingress: {max: 10Mbit}}`:       `spec.ingress.max: Invalid value: "10Mbit": this is no bandwidth: write bits per second from 1k to 1P, for instance 10M`,
		`{priority: 7}`:                  "spec.priority: Invalid value: 7: this is no priority: use 0 to 6",
		`{}`:                             "this policy limits and guarantees nothing: give it egress, ingress or priority",
		`{egress: {max: 1M}, containers: [a, a]}`: `spec.containers[1]: Duplicate value: "a"`,
		`{egress: {max: 1M}, containers: [A]}`:    `spec.containers[0]: Invalid value: "A": this is not the name of a container`,
		`{egress: {maximum: 1M}}`:                 "neither guarantee nor ceiling: give it min, max or both",
	} {
		err := a.create(t.Context(), "default", "{apiVersion: edge.kedge.io/v1alpha1, kind: BandwidthPolicy, metadata: {name: p}, spec: "+spec+"}")
		says(t, spec, err, want)
	}
}

func annotations(t *testing.T, a *api) {
	const low = ": lower the guarantee or raise the ceiling"
	for notes, want := range map[string]string{
		`kubernetes.io/egress-bandwidth: 10M, kubernetes.io/ingress-bandwidth: "1000000"`:                             "",
		`bandwidth.kedge.io/egress-min: 1k, bandwidth.kedge.io/egress-max: 1P`:                                        "",
		`bandwidth.kedge.io/egress-min: 10Mi, bandwidth.kedge.io/ingress-max: "1e7"`:                                  "",
		`bandwidth.kedge.io/egress-min: 20M, bandwidth.kedge.io/egress-max: 30M, kubernetes.io/egress-bandwidth: 10M`: "",
		`bandwidth.kedge.io/container.web.egress-min: 5M, bandwidth.kedge.io/container.setup.ingress-max: 1M`:         "",
		`bandwidth.kedge.io/container.web.egress-min: 5M, bandwidth.kedge.io/container.db.egress-max: 1M`:             "",
		`example.org/egress-max: nonsense, kubernetes.io/description: "10"`:                                           "",

		`bandwidth.kedge.io/egres-max: 10M`:                 "annotation bandwidth.kedge.io/egres-max: nobody reads this key: use bandwidth.kedge.io/egress-min, egress-max, ingress-min or ingress-max",
		`bandwidth.kedge.io/container.web: 10M`:             "annotation bandwidth.kedge.io/container.web: nobody reads this key",
		`bandwidth.kedge.io/container.web.max: 10M`:         "or bandwidth.kedge.io/container.NAME.egress-min and so on for one container",
		`bandwidth.kedge.io/priority: "3"`:                  "annotation bandwidth.kedge.io/priority: nobody reads this key",
		`bandwidth.kedge.io/container.cache.egress-max: 1M`: "annotation bandwidth.kedge.io/container.cache.egress-max: the pod has no container cache: use one of web, db, setup",
		`bandwidth.kedge.io/egress-max: 10Mbit`:             `annotation bandwidth.kedge.io/egress-max: "10Mbit" is no bandwidth: write bits per second from 1k to 1P, for instance 10M`,
		`bandwidth.kedge.io/container.web.egress-max: ""`:   `annotation bandwidth.kedge.io/container.web.egress-max: "" is no bandwidth`,
		`kubernetes.io/ingress-bandwidth: "999"`:            `annotation kubernetes.io/ingress-bandwidth: "999" is no bandwidth`,
		`kubernetes.io/egress-bandwidth: 2P`:                `annotation kubernetes.io/egress-bandwidth: "2P" is no bandwidth`,
		`kubernetes.io/egress-bandwidth: -1M`:               `"-1M" is no bandwidth`,

		`bandwidth.kedge.io/egress-min: 20M, bandwidth.kedge.io/egress-max: 10M`:                              "annotation bandwidth.kedge.io/egress-min: 20M is more than bandwidth.kedge.io/egress-max: 10M" + low,
		`bandwidth.kedge.io/ingress-min: 20M, kubernetes.io/ingress-bandwidth: 1M`:                            "annotation bandwidth.kedge.io/ingress-min: 20M is more than kubernetes.io/ingress-bandwidth: 1M" + low,
		`bandwidth.kedge.io/container.db.ingress-min: 10Mi, bandwidth.kedge.io/container.db.ingress-max: 10M`: "annotation bandwidth.kedge.io/container.db.ingress-min: 10Mi is more than bandwidth.kedge.io/container.db.ingress-max: 10M" + low,
	} {
		says(t, notes, a.create(t.Context(), "default", pod("p", notes)), want)
	}
	long := strings.Repeat("n", 41)
	manifest := strings.Replace(pod("p", "bandwidth.kedge.io/container."+long+".ingress-max: 1M"), "name: db", "name: "+long, 1)
	says(t, "the longest name of a container", a.create(t.Context(), "default", manifest), "")
}

// annotate merges annotations into a pod that is there.
func (a *api) annotate(t *testing.T, name, annotations string) error {
	t.Helper()
	_, err := a.Client.CoreV1().Pods("default").Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"annotations":{`+annotations+`}}}`), metav1.PatchOptions{})
	return err
}

func patches(t *testing.T, a *api) {
	keep(t, a, "live", `bandwidth.kedge.io/egress-min: 5M`)
	says(t, "a ceiling above", a.annotate(t, "live", `"bandwidth.kedge.io/egress-max":"10M"`), "")
	says(t, "a ceiling below", a.annotate(t, "live", `"bandwidth.kedge.io/egress-max":"1M"`), "egress-min: 5M is more than bandwidth.kedge.io/egress-max: 1M")
	says(t, "an unknown key", a.annotate(t, "live", `"bandwidth.kedge.io/max":"1M"`), "annotation bandwidth.kedge.io/max: nobody reads this key")
	says(t, "another key", a.annotate(t, "live", `"example.org/note":"x"`), "")
	says(t, "both away", a.annotate(t, "live", `"bandwidth.kedge.io/egress-max":null,"bandwidth.kedge.io/egress-min":null`), "")
}

// keep creates a pod that stays, bound to no node.
func keep(t *testing.T, a *api, name, annotations string) {
	t.Helper()
	_, err := a.Server.KedgeInput(t.Context(), []byte(pod(name, annotations)), "kubectl", "create", "-f", "-")
	cluster.Must(t, err)
}

// warnings are what the API says beside its answer.
type warnings []string

func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

func templates(t *testing.T, a *api) {
	var heard warnings
	config := rest.CopyConfig(a.Config)
	config.WarningHandler = &heard
	client, err := dynamic.NewForConfig(config)
	cluster.Must(t, err)
	const template = `{metadata: {labels: {a: b}, annotations: {bandwidth.kedge.io/egress-max: 10Mbit}}, spec: {restartPolicy: RESTART, containers: [{name: web, image: none}]}}`
	for kind, manifest := range map[string]string{
		"Deployment": `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: ` + strings.Replace(template, "RESTART", "Always", 1) + `}}`,
		"CronJob":    `{apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {schedule: "@daily", jobTemplate: {spec: {template: ` + strings.Replace(template, "RESTART", "Never", 1) + `}}}}`,
	} {
		heard = nil
		says(t, kind, create(t.Context(), client, "default", manifest), "")
		if all := strings.Join(heard, "\n"); !strings.Contains(all, `"10Mbit" is no bandwidth`) {
			t.Errorf("%s: warnings are %q", kind, all)
		}
	}
}

func exempt(t *testing.T, a *api) {
	const bad = `bandwidth.kedge.io/egress-max: nonsense`
	says(t, "kube-system", a.create(t.Context(), "kube-system", pod("p", bad)), "")
	says(t, "static pod", a.create(t.Context(), "default", strings.Replace(pod("p", bad+`, kubernetes.io/config.mirror: x`), "spec: {", "spec: {nodeName: edge-1, ", 1)), "")
}

// before makes a pod that the rules would refuse while they are away.
func before(t *testing.T, a *api) {
	bindings := a.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	binding, err := bindings.Get(t.Context(), "kedge-bandwidth-annotations", metav1.GetOptions{})
	cluster.Must(t, err)
	cluster.Must(t, bindings.Delete(t.Context(), binding.Name, metav1.DeleteOptions{}))
	unruled(t, a)
	binding.ObjectMeta = metav1.ObjectMeta{Name: binding.Name, Labels: binding.Labels}
	_, err = bindings.Create(t.Context(), binding, metav1.CreateOptions{})
	cluster.Must(t, err)
	a.wait(t)
	says(t, "another annotation", a.annotate(t, "old", `"example.org/note":"x"`), "")
	says(t, "a worse value", a.annotate(t, "old", `"bandwidth.kedge.io/egress-max":"rubbish"`), `"rubbish" is no bandwidth`)
	says(t, "its annotation goes", a.annotate(t, "old", `"bandwidth.kedge.io/ingress-max":null`), "")
	err = a.Client.CoreV1().Pods("default").Delete(t.Context(), "old", metav1.DeleteOptions{})
	if err != nil && !errors.IsNotFound(err) {
		t.Error(err)
	}
}
