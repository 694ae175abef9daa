// Package bandwidthapi is the scenario in README.md.
package bandwidthapi

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// api is the cluster and the administrator's clients.
type api struct {
	*cluster.Cluster
	edge *edgeclient.Client
	any  dynamic.Interface
}

func TestAPI(t *testing.T) {
	c := cluster.New(t, lab.OneServer(), cluster.Options{ServerArgs: []string{"--disable-agent"}})
	a := &api{Cluster: c}
	var err error
	a.edge, err = edgeclient.New(c.Config)
	cluster.Must(t, err)
	a.any, err = dynamic.NewForConfig(c.Config)
	cluster.Must(t, err)
	a.wait(t)
	t.Run("policies", func(t *testing.T) { policies(t, a) })
	t.Run("annotations", func(t *testing.T) { annotations(t, a) })
	t.Run("patches", func(t *testing.T) { patches(t, a) })
	t.Run("templates", func(t *testing.T) { templates(t, a) })
	t.Run("pods that are never held up", func(t *testing.T) { exempt(t, a) })
	t.Run("a pod from before the rules", func(t *testing.T) { before(t, a) })
	t.Run("rights of agents", func(t *testing.T) { agents(t, a) })
	t.Run("rights of people", func(t *testing.T) { people(t, a) })
	t.Run("status", func(t *testing.T) { status(t, a) })
}

// wait until definitions and rules are in force, which is a moment after they
// were written.
func (a *api) wait(t *testing.T) {
	testx.Eventually(t, cluster.Patience, "definitions and rules are in force", func(ctx context.Context) error {
		if _, err := a.edge.NodeBandwidths().List(ctx, metav1.ListOptions{}); err != nil {
			return err
		}
		if _, err := a.edge.BandwidthPolicies("").List(ctx, metav1.ListOptions{}); err != nil {
			return err
		}
		if err := a.create(ctx, "default", pod("probe", `bandwidth.kedge.io/egress-max: nonsense`)); err == nil {
			return errors.New("a pod with nonsense is let in")
		}
		return nil
	})
}

// resourceOf finds the resource of the kinds in here.
func resourceOf(kind string) schema.GroupVersionResource {
	switch kind {
	case v1alpha1.KindBandwidthPolicy:
		return v1alpha1.Resource(v1alpha1.BandwidthPolicies)
	case "Deployment":
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	case "CronJob":
		return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	}
	return schema.GroupVersionResource{Version: "v1", Resource: "pods"}
}

// create asks the API to create what a manifest says, and to keep nothing.
func (a *api) create(ctx context.Context, namespace, manifest string) error {
	return create(ctx, a.any, namespace, manifest)
}

func create(ctx context.Context, client dynamic.Interface, namespace, manifest string) error {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &object.Object); err != nil {
		return err
	}
	_, err := client.Resource(resourceOf(object.GetKind())).Namespace(namespace).Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// pod is a manifest with the containers web and db and the init container setup.
func pod(name, annotations string) string {
	return `{apiVersion: v1, kind: Pod, metadata: {name: ` + name + `, annotations: {` + annotations + `}},
spec: {containers: [{name: web, image: none}, {name: db, image: none}], initContainers: [{name: setup, image: none}]}}`
}

// says fails the test unless err has the words, or is nil without words.
func says(t *testing.T, what string, err error, words string) {
	t.Helper()
	if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
		t.Errorf("%s:\n got %v\nwant %q", what, err, words)
	}
}
