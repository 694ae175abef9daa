package bandwidthapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// unruled creates a pod as soon as the API has noticed that the rules are away.
func unruled(t *testing.T, a *api) {
	testx.Eventually(t, cluster.Patience, "a pod without rules", func(ctx context.Context) error {
		_, err := a.Server.KedgeInput(ctx, []byte(pod("old", `bandwidth.kedge.io/egress-max: nonsense, bandwidth.kedge.io/ingress-max: nonsense`)), "kubectl", "create", "-f", "-")
		return err
	})
}

// agent is a client with the identity of a node's agent.
func agent(t *testing.T, a *api, node string) *edgeclient.Client {
	t.Helper()
	config := rest.CopyConfig(a.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: pki.AgentClient(node, wire.Pin{}).CommonName, Groups: []string{pki.AgentGroup, "system:authenticated"}}
	client, err := edgeclient.New(config)
	cluster.Must(t, err)
	return client
}

func agents(t *testing.T, a *api) {
	ctx, client := t.Context(), agent(t, a, "edge-1")
	const other = "an agent may write the NodeBandwidth with the name of its own node only"
	named := func(name string) *v1alpha1.NodeBandwidth {
		return &v1alpha1.NodeBandwidth{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.NodeBandwidthStatus{
			Uplinks:     []v1alpha1.UplinkStatus{{Device: "eth0", Egress: resource.NewQuantity(100e6, resource.DecimalSI), State: v1alpha1.UplinkShaped}},
			Attribution: v1alpha1.AttributionCgroup,
		}}
	}
	mine, err := client.NodeBandwidths().Create(ctx, named("edge-1"), metav1.CreateOptions{})
	says(t, "own report", err, "")
	if err == nil && (len(mine.Status.Uplinks) != 1 || mine.Status.Uplinks[0].Egress.Value() != 100e6) {
		t.Errorf("one request must write all of it, the API has %+v", mine.Status)
	}
	_, err = client.NodeBandwidths().Create(ctx, named("edge-2"), metav1.CreateOptions{})
	says(t, "another's report", err, other)
	_, err = agent(t, a, "edge-2").NodeBandwidths().Patch(ctx, "edge-1", types.MergePatchType, []byte(`{"status":{"attribution":"ports"}}`), metav1.PatchOptions{})
	says(t, "another's report that is there", err, other)
	mine.Status.Attribution = "guess"
	_, err = client.NodeBandwidths().Update(ctx, mine, metav1.UpdateOptions{})
	says(t, "a word that does not exist", err, `status.attribution: Unsupported value: "guess"`)
	says(t, "deletion", client.NodeBandwidths().Delete(ctx, "edge-1", metav1.DeleteOptions{}), "cannot delete resource")
	_, err = client.BandwidthPolicies("").List(ctx, metav1.ListOptions{})
	says(t, "policies of all namespaces", err, "")
	_, err = client.BandwidthPolicies("default").Patch(ctx, "p", types.MergePatchType, []byte(`{"status":{"matched":7}}`), metav1.PatchOptions{}, "status")
	says(t, "status of a policy", err, "cannot patch resource")
	cluster.Must(t, a.edge.NodeBandwidths().Delete(ctx, "edge-1", metav1.DeleteOptions{}))
}

func people(t *testing.T, a *api) {
	for role, may := range map[string]map[string]bool{
		"view": {"list": true, "create": false},
		"edit": {"list": true, "create": true},
	} {
		subject := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "person-" + role}
		_, err := a.Client.RbacV1().RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: subject.Name}, Subjects: []rbacv1.Subject{subject},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		}, metav1.CreateOptions{})
		cluster.Must(t, err)
		for verb, want := range may {
			testx.Eventually(t, cluster.Patience, fmt.Sprintf("%s policies as %s: %t", verb, role, want), func(ctx context.Context) error {
				review, err := a.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User:               subject.Name,
					ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "default", Verb: verb, Group: v1alpha1.Group, Resource: v1alpha1.BandwidthPolicies},
				}}, metav1.CreateOptions{})
				if err == nil && review.Status.Allowed != want {
					err = fmt.Errorf("allowed: %t", review.Status.Allowed)
				}
				return err
			})
		}
	}
}

// report writes what a node says about the policy.
func (a *api) report(t *testing.T, node string, p v1alpha1.NodePolicyStatus) {
	t.Helper()
	ctx, reports := t.Context(), a.edge.NodeBandwidths()
	r := &v1alpha1.NodeBandwidth{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if old, err := reports.Get(ctx, node, metav1.GetOptions{}); err == nil {
		r = old
		r.Status.Policies = []v1alpha1.NodePolicyStatus{p}
		_, err = reports.Update(ctx, r, metav1.UpdateOptions{})
		cluster.Must(t, err)
		return
	}
	r.Status.Policies = []v1alpha1.NodePolicyStatus{p}
	_, err := reports.Create(ctx, r, metav1.CreateOptions{})
	cluster.Must(t, err)
}

func status(t *testing.T, a *api) {
	for _, name := range []string{"edge-1", "edge-2"} {
		_, err := a.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		cluster.Must(t, err)
	}
	a.Apply(t, `{apiVersion: edge.kedge.io/v1alpha1, kind: BandwidthPolicy, metadata: {name: video}, spec: {podSelector: {matchLabels: {app: video}}, egress: {min: 30M}}}`)
	p := a.policy(t, v1alpha1.ReasonNoPods, 0, 0, 0)
	says1 := v1alpha1.NodePolicyStatus{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Generation: p.Generation, Matched: 3, Applied: 3}
	says2 := v1alpha1.NodePolicyStatus{
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, Generation: p.Generation, Matched: 2, Applied: 1, Refused: 1,
		Refusals: []v1alpha1.NodeRefusal{{Pod: "video-7", Reason: v1alpha1.ReasonOverPromised, Message: "30M asked, 12M of 95M free"}},
	}
	a.report(t, "edge-1", says1)
	a.report(t, "edge-2", says2)
	p = a.policy(t, v1alpha1.ReasonPodsRefused, 5, 4, 1)
	want := v1alpha1.BandwidthRefusal{Pod: "video-7", Node: "edge-2", Reason: v1alpha1.ReasonOverPromised, Message: "30M asked, 12M of 95M free"}
	if len(p.Status.Refusals) != 1 || p.Status.Refusals[0] != want {
		t.Errorf("refusals are %+v", p.Status.Refusals)
	}
	columns := strings.Fields(strings.Join(strings.SplitN(a.Kubectl(t, "get", "bandwidthpolicies"), "\n", 3)[:2], " "))
	if got := strings.Join(columns[:13], " "); got != "NAME MATCHED APPLIED REFUSED ACCEPTED CONFLICTED AGE video 5 4 1 True False" {
		t.Errorf("columns are %q", got)
	}

	a.Apply(t, `{apiVersion: edge.kedge.io/v1alpha1, kind: BandwidthPolicy, metadata: {name: video}, spec: {podSelector: {matchLabels: {app: video}}, egress: {min: 10M}}}`)
	p = a.policy(t, v1alpha1.ReasonPending, 5, 0, 0)
	says2.Generation, says2.Applied, says2.Refused, says2.Refusals = p.Generation, 2, 0, nil
	a.report(t, "edge-2", says2)
	a.policy(t, v1alpha1.ReasonPending, 5, 2, 0)

	cluster.Must(t, a.Client.CoreV1().Nodes().Delete(t.Context(), "edge-1", metav1.DeleteOptions{}))
	a.policy(t, "", 2, 2, 0)
}

// policy waits until the status of the policy "video" is as expected; reason is
// that of the condition Applied, "" for any.
func (a *api) policy(t *testing.T, reason string, matched, applied, refused int32) *v1alpha1.BandwidthPolicy {
	t.Helper()
	var p *v1alpha1.BandwidthPolicy
	testx.Eventually(t, cluster.Patience, "status of the policy", func(ctx context.Context) error {
		var err error
		if p, err = a.edge.BandwidthPolicies("default").Get(ctx, "video", metav1.GetOptions{}); err != nil {
			return err
		}
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionApplied)
		s := p.Status
		if c == nil || s.ObservedGeneration != p.Generation || reason != "" && c.Reason != reason || s.Matched != matched || s.Applied != applied || s.Refused != refused {
			return fmt.Errorf("status is %+v", s)
		}
		return nil
	})
	return p
}
