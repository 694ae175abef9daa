// Package firewallapi is the scenario in README.md.
package firewallapi

import (
	"context"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// api is the cluster and the administrator's client.
type api struct {
	*cluster.Cluster
	edge *edgeclient.Client
}

func newAPI(t *testing.T, c *cluster.Cluster) *api {
	t.Helper()
	a := &api{Cluster: c}
	var err error
	a.edge, err = edgeclient.New(c.Config)
	cluster.Must(t, err)
	testx.Eventually(t, cluster.Patience, "the definitions are served", func(ctx context.Context) error {
		if _, err := a.edge.EdgeFirewalls().List(ctx, metav1.ListOptions{}); err != nil {
			return err
		}
		_, err := a.edge.AddressSets().List(ctx, metav1.ListOptions{})
		return err
	})
	return a
}

func TestAPI(t *testing.T) {
	a := newAPI(t, cluster.New(t, lab.OneServer(), cluster.Options{ServerArgs: []string{"--disable-agent"}}))
	t.Run("refused", func(t *testing.T) { refused(t, a) })
	t.Run("largest", func(t *testing.T) { largest(t, a) })
	t.Run("rights", func(t *testing.T) { rights(t, a) })
	t.Run("claims of nodes", func(t *testing.T) { claims(t, a) })
	t.Run("sets", func(t *testing.T) { sets(t, a) })
}

// create asks the API to take a manifest, and to keep nothing.
func (a *api) create(ctx context.Context, manifest string) error {
	_, err := a.Server.KedgeInput(ctx, []byte(manifest), "kubectl", "create", "--dry-run=server", "-f", "-")
	return err
}

// says fails the test unless err has the words, or is nil without words.
func says(t *testing.T, what string, err error, words string) {
	t.Helper()
	if len(what) > 200 {
		what = what[:200]
	}
	if words == "" && err != nil || words != "" && (err == nil || !strings.Contains(err.Error(), words)) {
		t.Errorf("%s:\n got %v\nwant %q", what, err, words)
	}
}
