package snapshot

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// latecomer is an edge node that joins when the snapshot is made already.
type latecomer struct {
	*cluster.Node
	was *corev1.Node
}

// joinLate returns when the node runs a pod.
func joinLate(t *testing.T, c *cluster.Cluster, n *cluster.Node) latecomer {
	t.Helper()
	c.Join(t, n)
	c.WaitNode(t, n.Name(), corev1.ConditionTrue)
	c.CreatePod(t, cluster.AppPod("first-"+n.Name(), n.Name()))
	c.WaitPods(t, "default", "app=first-"+n.Name(), 1)
	node, err := c.Client.CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
	cluster.Must(t, err)
	return latecomer{n, node}
}

// back waits until the node is there as another object, made by the same process,
// works, and has its name for itself.
func (l latecomer) back(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	now := time.Now()
	testx.Eventually(t, cluster.Patience, l.Name()+" has registered again", func(ctx context.Context) error {
		select {
		case <-l.Proc().Done():
			t.Fatalf("kedge ended on %s", l.Name())
		default:
		}
		node, err := c.Client.CoreV1().Nodes().Get(ctx, l.Name(), metav1.GetOptions{})
		if err == nil && node.UID == l.was.UID {
			err = errors.New("it is the lost object")
		}
		return err
	})
	c.WaitNode(t, l.Name(), corev1.ConditionTrue)
	c.CreatePod(t, cluster.AppPod("web-"+l.Name(), l.Name()))
	c.WaitPods(t, "default", "app=web-"+l.Name(), 1)
	c.WaitAlive(t, l.Node, now, "web-"+l.Name())
	if _, err := c.Client.CoreV1().Secrets("kube-system").Get(t.Context(), "kedge-node-"+l.Name(), metav1.GetOptions{}); err != nil {
		t.Errorf("nobody holds the name, so nobody could revoke the machine: %v", err)
	}
	node, err := c.Client.CoreV1().Nodes().Get(t.Context(), l.Name(), metav1.GetOptions{})
	cluster.Must(t, err)
	have := map[corev1.NodeConditionType]bool{}
	for _, condition := range node.Status.Conditions {
		have[condition.Type] = true
	}
	for _, condition := range l.was.Status.Conditions {
		if !have[condition.Type] {
			t.Errorf("%s has lost its condition %s", l.Name(), condition.Type)
		}
	}
}

// deleted has a person delete the node, whose kedge runs on, and returns when the
// node's own view of the cluster has heard of it.
func (l latecomer) deleted(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	c.Kubectl(t, "delete", "node", l.Name())
	testx.Eventually(t, cluster.Patience, "the pods of the deleted node are gone", func(ctx context.Context) error {
		pods, err := c.Client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + l.Name()})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d are there", len(pods.Items))
		}
		return err
	})
}

// stays checks that nobody undid that.
func (l latecomer) stays(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if _, err := c.Client.CoreV1().Nodes().Get(t.Context(), l.Name(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a node that a person deleted is back: %v", err)
	}
}
