package bandwidthapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

const nodePolicies = `
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: fits}
spec: {podSelector: {matchLabels: {app: one}}, egress: {min: 10M, max: 20M}}
---
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: too-much}
spec: {podSelector: {matchLabels: {app: two}}, egress: {min: 500M}}
---
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: nobody}
spec: {podSelector: {matchLabels: {app: three}}, egress: {max: 1M}}
`

func TestNodesStandInTheStatus(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(1), cluster.Options{ServerArgs: []string{"--disable-agent"}, AgentArgs: []string{"--uplink", "auto=100M"}})
	edge, err := edgeclient.New(c.Config)
	cluster.Must(t, err)
	node := c.Agents[0].Name()
	c.CreatePod(t, cluster.AppPod("one", node))
	c.CreatePod(t, cluster.AppPod("two", node))
	c.WaitPods(t, "default", "app=one", 1)
	c.WaitPods(t, "default", "app=two", 1)
	c.Apply(t, nodePolicies)
	for name, want := range map[string]string{
		"fits":     "1 matched, 1 applied, 0 refused, Applied True",
		"too-much": "1 matched, 0 applied, 1 refused, PodsRefused False",
		"nobody":   "0 matched, 0 applied, 0 refused, NoPods True",
	} {
		testx.Eventually(t, cluster.Patience, "status of policy "+name, func(ctx context.Context) error {
			p, err := edge.BandwidthPolicies("default").Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			applied := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionApplied)
			if applied == nil {
				return fmt.Errorf("status is %+v", p.Status)
			}
			if got := fmt.Sprintf("%d matched, %d applied, %d refused, %s %s", p.Status.Matched, p.Status.Applied, p.Status.Refused, applied.Reason, applied.Status); got != want {
				return fmt.Errorf("%s: %+v", got, p.Status)
			}
			return nil
		})
	}
	p, err := edge.BandwidthPolicies("default").Get(t.Context(), "too-much", metav1.GetOptions{})
	cluster.Must(t, err)
	if r := p.Status.Refusals; len(r) != 1 || r[0].Pod != "two" || r[0].Node != node || r[0].Reason != v1alpha1.ReasonOverPromised || !strings.Contains(r[0].Message, "500") {
		t.Errorf("refusals are %+v", r)
	}
}
