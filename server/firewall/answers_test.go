package firewall

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/wire"
)

// fleet is a cluster with a closed firewall, a server and three edges: two in one
// site.
func fleet(t *testing.T) *cluster {
	t.Helper()
	c := start(t)
	c.firewalls.Add(aFirewall(1))
	for name, at := range map[string][3]string{
		"edge-1": {"203.0.113.1", "192.168.1.10", "10.42.1.0/24"},
		"edge-2": {"203.0.113.2", "192.168.1.20", "10.42.2.0/24"},
		"edge-3": {"203.0.113.2", "192.168.1.30", "10.42.3.0/24"},
	} {
		n := aNode(name, map[string]string{"site": at[0]})
		n.Annotations = map[string]string{wire.AnnotationAddresses: at[1]}
		n.Spec.PodCIDRs = []string{at[2]}
		c.nodes.Add(n)
		c.link(name, at[0])
	}
	c.wait(t, "203.0.113.2", true, "server", "edge-1", "edge-2", "edge-3")
	c.wait(t, "203.0.113.1", true, "server", "edge-1", "edge-2", "edge-3")
	return c
}

func (c *cluster) post(t *testing.T, query, body string) (int, view.Plan, string) {
	t.Helper()
	w := httptest.NewRecorder()
	c.Handlers()[view.PathPlan].ServeHTTP(w, httptest.NewRequest(http.MethodPost, view.PathPlan+"?"+query, strings.NewReader(body)))
	var p view.Plan
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, p, w.Body.String()
}

// egressDenied would cut everything that nodes of site 2 send.
const egressDenied = `
# a comment
---
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: silent}
spec:
  nodeSelector: {matchLabels: {site: 203.0.113.2}}
  egress: {default: deny}
`

func TestPlanTellsDifferenceAndRisksOfEachNode(t *testing.T) {
	c := fleet(t)
	c.cfg.Ask = func(_ context.Context, node, path string, _ url.Values, into any) error {
		if node != "edge-2" || path != view.PathNode {
			return errors.New("it has no link")
		}
		into.(*view.Node).Facts = model.Facts{Servers: []netip.AddrPort{netip.MustParseAddrPort(ownHost + ":6443")}, Resolvers: []netip.Addr{netip.MustParseAddr("192.168.1.1")}}
		return nil
	}
	_, p, text := c.post(t, "", egressDenied)
	if len(p.Problems) > 0 || len(p.Nodes) != 4 {
		t.Fatal(text)
	}
	for _, n := range p.Nodes {
		if changed := n.Node == "edge-2" || n.Node == "edge-3"; n.Changed != changed {
			t.Errorf("%s changes: %t", n.Node, n.Changed)
		}
	}
	two, three := p.Nodes[1], p.Nodes[2]
	if !slices.Equal(two.Firewalls, []string{"closed", "silent"}) || two.Difference.Empty() || two.Assumed {
		t.Errorf("edge-2: %+v", two)
	}
	var what []string
	for _, r := range two.Risks {
		what = append(what, r.What+" saved by "+r.SavedBy)
	}
	if !slices.Contains(what, "dns saved by implied/dns") || !slices.ContainsFunc(what, func(s string) bool { return strings.HasPrefix(s, "link saved by implied/") }) {
		t.Errorf("the risks of edge-2 are %v", what)
	}
	if !three.Assumed || three.FactsProblem != "it has no link" || len(three.Risks) == 0 {
		t.Errorf("edge-3, which cannot be asked: %+v", three)
	}
	if c.compiled.Load().Of["edge-2"][0] != "closed" || len(c.compiled.Load().Of["edge-2"]) != 1 {
		t.Error("a plan changed what counts")
	}
}

func TestPlanOfOneNodeAndOfADeletion(t *testing.T) {
	c := fleet(t)
	_, p, text := c.post(t, "node=edge-1&delete=closed", "")
	if len(p.Nodes) != 1 || p.Nodes[0].Node != "edge-1" || !p.Nodes[0].Changed || len(p.Nodes[0].Difference.Removed) == 0 {
		t.Error(text)
	}
	if code, _, text := c.post(t, "node=nobody", ""); code != http.StatusNotFound || !strings.Contains(text, "nobody") {
		t.Errorf("%d %s", code, text)
	}
}

func TestPlanRefusesWhatItCannotRead(t *testing.T) {
	c := fleet(t)
	for body, word := range map[string]string{
		"apiVersion: v1\nkind: Pod\n": "v1 Pod is not planned",
		"apiVersion: edge.kedge.io/v1alpha1\nkind: EdgeFirewall\nmetadata: {name: x}\nspec: {ingres: {}}": "ingres",
		"a: b: c": "document 1",
	} {
		if code, _, text := c.post(t, "", body); code != http.StatusBadRequest || !strings.Contains(text, word) {
			t.Errorf("%q: %d %s", body, code, text)
		}
	}
	_, p, text := c.post(t, "delete=other", "")
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0], "other") {
		t.Error(text)
	}
	c.api.tryFirewall = func(context.Context, *v1alpha1.EdgeFirewall) (*v1alpha1.EdgeFirewall, error) {
		return nil, errors.New("spec.priority: this is no priority")
	}
	if _, p, text = c.post(t, "", egressDenied); len(p.Problems) != 1 || !strings.Contains(p.Problems[0], "silent: spec.priority") {
		t.Error(text)
	}
}

func (c *cluster) explained(t *testing.T, from, to string) (view.Explanation, string) {
	t.Helper()
	w := httptest.NewRecorder()
	q := url.Values{view.QueryFrom: {from}, view.QueryTo: {to}}
	c.Handlers()[view.PathExplain].ServeHTTP(w, httptest.NewRequest(http.MethodGet, view.PathExplain+"?"+q.Encode(), nil))
	var x view.Explanation
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
	}
	return x, w.Body.String()
}

func TestExplainFollowsAPacket(t *testing.T) {
	c := fleet(t)
	web := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "uid-web"}}
	web.Spec.NodeName, web.Status.PodIP = "edge-1", "10.42.1.7"
	c.api.pod = func(_ context.Context, namespace, name string) (*corev1.Pod, error) {
		if namespace+"/"+name != "shop/web" {
			return nil, errors.New("not found")
		}
		return web, nil
	}
	c.api.podAt = func(_ context.Context, _ string, addr netip.Addr) (*corev1.Pod, error) {
		if addr.String() == web.Status.PodIP {
			return web, nil
		}
		return nil, nil
	}
	for _, want := range []struct {
		from, to string
		verdict  model.Action
		steps    string // node direction from>to rule
	}{
		{"198.51.100.66", "server:22", model.Deny, "server ingress 198.51.100.66>192.0.2.1 default/closed"},
		{"edge-1", "server:22", model.Allow, "edge-1 egress 192.168.1.10>192.0.2.1 | server ingress 203.0.113.1>192.0.2.1 closed/ingress/fleet"},
		{"edge-2", "edge-3:22", model.Allow, "edge-2 egress 192.168.1.20>192.168.1.30 | edge-3 ingress 192.168.1.20>192.168.1.30 closed/ingress/fleet"},
		{"edge-1", "edge-3:22", model.Allow, "edge-1 egress 192.168.1.10>203.0.113.2 | edge-3 ingress 203.0.113.1>192.168.1.30 closed/ingress/fleet"},
		{"198.51.100.66", "203.0.113.1:22", model.Deny, "edge-1 ingress 198.51.100.66>192.168.1.10 default/closed"},
		{"edge-2", "203.0.113.1:22", model.Allow, "edge-2 egress 192.168.1.20>203.0.113.1 | edge-1 ingress 203.0.113.2>192.168.1.10 closed/ingress/fleet"},
		{"shop/web", "198.51.100.66:443", model.Pass, "edge-1 egress 10.42.1.7>198.51.100.66"},
		{"10.42.1.7", "server:443", model.Allow, "edge-1 egress 10.42.1.7>192.0.2.1 | server ingress 203.0.113.1>192.0.2.1 closed/ingress/fleet"},
		{"edge-2", "shop/web:80", model.Pass, "edge-2 egress 192.168.1.20>10.42.1.7 | edge-1 ingress 10.42.2.1>10.42.1.7"},
		{"198.51.100.66", "198.51.100.67:22", model.Pass, ""},
	} {
		x, text := c.explained(t, want.from, want.to)
		var steps []string
		for _, s := range x.Steps {
			steps = append(steps, strings.TrimSpace(strings.Join([]string{s.Node, string(s.Direction), s.Packet.From.Addr().String() + ">" + s.Packet.To.Addr().String(), s.Rule}, " ")))
		}
		if got := strings.Join(steps, " | "); x.Verdict != want.verdict || got != want.steps {
			t.Errorf("%s to %s: %s by %q\nwant %s by %q\n%s", want.from, want.to, x.Verdict, got, want.verdict, want.steps, text)
		}
	}
	for to, word := range map[string]string{"server": "names no port", "nobody:80": `"nobody"`, "shop/none:80": "not found"} {
		if _, text := c.explained(t, "edge-1", to); !strings.Contains(text, word) {
			t.Errorf("to %s: %s", to, text)
		}
	}
}

func TestStatusNamesEveryNode(t *testing.T) {
	c := fleet(t)
	w := httptest.NewRecorder()
	c.Handlers()[view.PathStatus].ServeHTTP(w, httptest.NewRequest(http.MethodGet, view.PathStatus, nil))
	var s view.Fleet
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || len(s.Nodes) != 4 || s.Revision == 0 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if n := s.Nodes[0]; n.Node != "edge-1" || !n.Connected || n.Software != "test" || n.Addresses[0].String() != "203.0.113.1" {
		t.Errorf("%+v", n)
	}
}
