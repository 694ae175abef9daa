package firewallapi

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// All rules of the definitions have unit tests beside them; here is that they are
// in force.
func refused(t *testing.T, a *api) {
	for spec, want := range map[string]string{
		`{ingress: {default: deny, rules: [{name: ssh, action: allow, protocol: tcp, ports: [22, "8000-8010"], peers: [{cidr: 203.0.113.0/24, except: [203.0.113.9/32]}, {addressSet: offices}, {nodeSelector: {}}]}]}}`: "",
		`{nodeSelector: {matchLabels: {pool: shops}}, priority: 0, onChange: cut, egress: {default: reject, rules: [{action: allow, peers: [{dns: time.example.org}, {cluster: true}, {servers: true}]}]}}`:              "",

		`{}`: "this firewall says nothing: give it ingress, egress or both",
		`{ingress: {rules: [{action: allow, protocol: tcp, ports: ["20-10"]}]}}`:                   `spec.ingress.rules[0].ports[0]: Invalid value: "20-10": this is no port: write a number from 1 to 65535`,
		`{ingress: {rules: [{action: allow, peers: [{cidr: 10.0.0.1}]}]}}`:                         `spec.ingress.rules[0].peers[0].cidr: Invalid value: "10.0.0.1": this is no range of addresses`,
		`{ingress: {rules: [{action: allow, peers: [{cidr: 10.0.0.0/8, except: [11.0.0.0/8]}]}]}}`: "except 11.0.0.0/8: each must lie within cidr 10.0.0.0/8",
		`{ingress: {rules: [{action: drop}]}}`:                                                     `spec.ingress.rules[0].action: Unsupported value: "drop": supported values: "allow", "deny", "reject", "log"`,
		`{ingress: {rules: [{action: allow, port: 22}]}}`:                                          `unknown field "spec.ingress.rules[0].port"`,
		`{priority: 5000, ingress: {default: deny}}`:                                               "5000: this is no priority: use 0 to 1000",
	} {
		says(t, spec, a.create(t.Context(), "{apiVersion: edge.kedge.io/v1alpha1, kind: EdgeFirewall, metadata: {name: f}, spec: "+spec+"}"), want)
	}
	for spec, want := range map[string]string{
		`{addresses: [203.0.113.7, "2001:db8::/32"], configMapRef: {namespace: a, name: b}, list: {url: "https://lists.example.org/a"}}`: "",

		`{}`:                               "this set has no source: give it addresses, configMapRef or list",
		`{addresses: [10.0.0.1, oops]}`:    `spec.addresses[1]: Invalid value: "oops": this is neither an address nor a range`,
		`{list: {url: "http://a.b/"}}`:     `"http://a.b/": this is no https address`,
		`{list: {url: "https://u:p@a.b"}}`: "this has a name or password in it",
	} {
		says(t, spec, a.create(t.Context(), "{apiVersion: edge.kedge.io/v1alpha1, kind: AddressSet, metadata: {name: s}, spec: "+spec+"}"), want)
	}
	long := strings.Repeat("n", 64)
	says(t, long, a.create(t.Context(), "{apiVersion: edge.kedge.io/v1alpha1, kind: EdgeFirewall, metadata: {name: "+long+"}, spec: {ingress: {default: deny}}}"), "is too long")
}

// What the definitions allow is also stored. That the very largest firewall is
// within the costs that the server allows is shown by a unit test; here it would
// need seconds.
func largest(t *testing.T, a *api) {
	var rules, addresses []string
	for i := range 256 {
		ports := strings.TrimSuffix(strings.Repeat(`"10000-10100",`, 8), ",")
		peers := strings.TrimSuffix(strings.Repeat(`{cidr: 203.0.113.0/24, except: [203.0.113.0/28, 203.0.113.64/28]},`, 4), ",")
		rules = append(rules, fmt.Sprintf("{name: r%d, action: allow, protocol: tcp, ports: [%s], peers: [%s]}", i, ports, peers))
	}
	for i := range 25000 {
		addresses = append(addresses, fmt.Sprintf(`"2001:db8:%x:%x:1000:1000:1000::/112"`, i/256+0x1000, i%256+0x1000))
	}
	for manifest, kind := range map[string]string{
		"{apiVersion: edge.kedge.io/v1alpha1, kind: EdgeFirewall, metadata: {name: largest}, spec: {nodeSelector: {matchLabels: {no: node}}, ingress: {rules: [" + strings.Join(rules, ",") + "]}}}": "edgefirewall",
		"{apiVersion: edge.kedge.io/v1alpha1, kind: AddressSet, metadata: {name: largest}, spec: {addresses: [" + strings.Join(addresses, ",") + "]}}":                                               "addressset",
	} {
		_, err := a.Server.KedgeInput(t.Context(), []byte(manifest), "kubectl", "create", "-f", "-")
		says(t, manifest, err, "")
		if kind == "addressset" && err == nil {
			a.set(t, "largest", "0/25000", "Accepted=Accepted", "Current=Current")
		}
		a.Kubectl(t, "delete", kind, "largest")
	}
}

func rights(t *testing.T, a *api) {
	ctx := t.Context()
	for user, role := range map[string]string{"viewer": "view", "editor": "edit", "keeper": "kedge-firewall-admin"} {
		_, err := a.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}, metav1.CreateOptions{})
		cluster.Must(t, err)
	}
	agent := pki.AgentClient("edge-1", wire.Pin{}).CommonName
	for _, c := range []struct {
		user, verb string
		groups     []string
		want       bool
	}{
		{"viewer", "list", nil, true}, {"viewer", "create", nil, false},
		{"editor", "list", nil, true}, {"editor", "create", nil, false},
		{"keeper", "create", nil, true}, {"keeper", "delete", nil, true},
		{agent, "list", []string{pki.AgentGroup}, false}, {agent, "update", []string{pki.AgentGroup}, false},
	} {
		for _, resource := range []string{v1alpha1.EdgeFirewalls, v1alpha1.AddressSets} {
			testx.Eventually(t, cluster.Patience, fmt.Sprintf("%s %s as %s: %t", c.verb, resource, c.user, c.want), func(ctx context.Context) error {
				review, err := a.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User: c.user, Groups: c.groups,
					ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: c.verb, Group: v1alpha1.Group, Resource: resource},
				}}, metav1.CreateOptions{})
				if err == nil && review.Status.Allowed != c.want {
					err = fmt.Errorf("allowed: %t", review.Status.Allowed)
				}
				return err
			})
		}
	}
}

// Servers open firewalls for what the annotation says.
func claims(t *testing.T, a *api) {
	_, err := a.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "edge-1"}}, metav1.CreateOptions{})
	cluster.Must(t, err)
	const words = "the annotation kedge.io/public-address of a node comes from the servers"
	for user, groups := range map[string][]string{
		"system:node:edge-1":                             {"system:nodes"},
		pki.AgentClient("edge-1", wire.Pin{}).CommonName: {pki.AgentGroup},
	} {
		config := rest.CopyConfig(a.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
		client, err := kubernetes.NewForConfig(config)
		cluster.Must(t, err)
		note := func(key string) error {
			_, err := client.CoreV1().Nodes().Patch(t.Context(), "edge-1", types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+key+`":"203.0.113.9"}}}`), metav1.PatchOptions{}, "status")
			return err
		}
		says(t, user, note("kedge.io/public-address"), words)
		says(t, user, note("kedge.io/addresses"), "")
	}
	a.Kubectl(t, "delete", "node", "edge-1")
}
