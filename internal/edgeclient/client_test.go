package edgeclient_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/edgeclient"
	"github.com/kedge-io/kedge/internal/kubeclient"
)

// api answers with the object it was sent, or with an empty list, and keeps the
// last request.
func api(t *testing.T) (client *edgeclient.Client, last *http.Request) {
	t.Helper()
	last = &http.Request{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r
		w.Header().Set("Content-Type", "application/json")
		var object json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
			object = json.RawMessage(`{"apiVersion":"edge.kedge.io/v1alpha1","kind":"BandwidthPolicyList","items":[{"metadata":{"name":"p"},"spec":{"egress":{"max":"10M"}}}]}`)
		}
		_, _ = w.Write(object)
	}))
	t.Cleanup(server.Close)
	client, err := edgeclient.New(kubeclient.Tune(&rest.Config{Host: server.URL}, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return client, last
}

func TestListHasTypes(t *testing.T) {
	client, last := api(t)
	list, err := client.BandwidthPolicies("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "a=b"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Spec.Egress.Max.Value() != 10_000_000 {
		t.Fatalf("got %+v, %v", list, err)
	}
	if got := last.URL.String(); got != "/apis/edge.kedge.io/v1alpha1/namespaces/shop/bandwidthpolicies?labelSelector=a%3Db" {
		t.Errorf("asked for %s", got)
	}
}

func TestWritesAreJSON(t *testing.T) {
	client, last := api(t)
	policy := &v1alpha1.BandwidthPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop"}, Status: v1alpha1.BandwidthPolicyStatus{Matched: 3}}
	got, err := client.BandwidthPolicies("shop").UpdateStatus(t.Context(), policy, metav1.UpdateOptions{})
	if err != nil || got.Status.Matched != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if last.Header.Get("Content-Type") != "application/json" || last.URL.Path != "/apis/edge.kedge.io/v1alpha1/namespaces/shop/bandwidthpolicies/p/status" {
		t.Errorf("%s as %s", last.URL.Path, last.Header.Get("Content-Type"))
	}
	report := &v1alpha1.NodeBandwidth{ObjectMeta: metav1.ObjectMeta{Name: "edge-1"}}
	if _, err := client.NodeBandwidths().Create(t.Context(), report, metav1.CreateOptions{}); err != nil || last.URL.Path != "/apis/edge.kedge.io/v1alpha1/nodebandwidths" {
		t.Error(err, last.URL.Path)
	}
}

func TestSourceListsAndWatches(t *testing.T) {
	client, last := api(t)
	source := edgeclient.Source(client.BandwidthPolicies(""))
	list, err := source.List(metav1.ListOptions{}) //nolint:staticcheck // what old callers use
	if err != nil || last.URL.Path != "/apis/edge.kedge.io/v1alpha1/bandwidthpolicies" {
		t.Fatal(err, last.URL.Path)
	}
	if _, ok := list.(*v1alpha1.BandwidthPolicyList); !ok {
		t.Fatal(errors.New("a list of another type"))
	}
}

func TestFirewallsAndSetsAreOfTheCluster(t *testing.T) {
	client, last := api(t)
	firewall := &v1alpha1.EdgeFirewall{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Status: v1alpha1.EdgeFirewallStatus{Revision: 7}}
	got, err := client.EdgeFirewalls().UpdateStatus(t.Context(), firewall, metav1.UpdateOptions{})
	if err != nil || got.Status.Revision != 7 || last.URL.Path != "/apis/edge.kedge.io/v1alpha1/edgefirewalls/f/status" {
		t.Error(got, err, last.URL.Path)
	}
	set := &v1alpha1.AddressSet{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Status: v1alpha1.AddressSetStatus{IPv4: 2}}
	sent, err := client.AddressSets().UpdateStatus(t.Context(), set, metav1.UpdateOptions{})
	if err != nil || sent.Status.IPv4 != 2 || last.URL.Path != "/apis/edge.kedge.io/v1alpha1/addresssets/s/status" {
		t.Error(sent, err, last.URL.Path)
	}
}
