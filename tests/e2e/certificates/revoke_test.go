package certificates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// revoked shuts a node out, restarts the server, and lets the node in again.
func revoked(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	config, err := cluster.RESTConfig(n.Host, "/var/lib/kedge/agent/kubelet.kubeconfig")
	cluster.Must(t, err)
	config.Timeout = 0
	client, err := kubernetes.NewForConfig(config)
	cluster.Must(t, err)
	seconds := int64(3600)
	w, err := client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + n.Name(), TimeoutSeconds: &seconds})
	cluster.Must(t, err)
	defer w.Stop()

	start := time.Now()
	_, err = c.Server.Kedge(t.Context(), "node", "revoke", n.Name())
	cluster.Must(t, err)
	for range w.ResultChan() { //nolint:revive // until it is ended
	}
	t.Logf("its watch was ended %s after the command began", time.Since(start).Round(time.Millisecond))
	isRefused(t, c, n, client)
	var at time.Time
	testx.Eventually(t, cluster.Patience, "its log says why", func(context.Context) (err error) {
		at, err = n.Logged(start, "this machine was revoked", "kedge node allow "+n.Name())
		return err
	})
	t.Logf("its link was refused %s after the command began", at.Sub(start).Round(time.Millisecond))
	if out, _ := n.Kedge(t.Context(), "status"); !strings.Contains(out, "this machine was revoked") {
		t.Errorf("kedge status does not say why:\n%s", out)
	}

	cluster.Must(t, c.Server.Stop(t.Context()))
	cluster.Must(t, c.Server.Start())
	c.Connect(t)
	isRefused(t, c, n, client)

	_, err = c.Server.Kedge(t.Context(), "node", "allow", n.Name())
	cluster.Must(t, err)
	c.WaitAlive(t, n, time.Now(), "app-"+n.Name())
}

// isRefused waits until the node has no link, and its certificate opens nothing.
func isRefused(t *testing.T, c *cluster.Cluster, n *cluster.Node, client kubernetes.Interface) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, n.Name()+" is refused", func(ctx context.Context) error {
		_, err := client.CoreV1().Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
		switch {
		case err == nil:
			// It must not be let in even for a moment.
			t.Error("its certificate opens the API")
			return nil
		case !apierrors.IsUnauthorized(err):
			return fmt.Errorf("want 401: %w", err)
		}
		links, err := c.Server.Links(ctx)
		if err != nil {
			return err
		}
		for _, l := range links.Links {
			if l.Peer == n.Name() && l.Up {
				return errors.New("its link is up")
			}
		}
		return nil
	})
}
