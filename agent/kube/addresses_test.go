package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kedge-io/kedge/internal/testx"
)

func ownObject(cidr string, addresses ...corev1.NodeAddress) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "edge1"}}
	n.Spec.PodCIDR = cidr
	n.Status.Addresses = addresses
	return n
}

func address(kind corev1.NodeAddressType, text string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: kind, Address: text}
}

func TestInternalAddressIsTheFirstOfThePodRangeUnlessAPersonNamedOne(t *testing.T) {
	hostname := address(corev1.NodeHostName, "edge1")
	cluster := []corev1.NodeAddress{address(corev1.NodeInternalIP, "10.42.3.1"), hostname}
	external := netip.MustParseAddr("203.0.113.7")
	for name, c := range map[string]struct {
		given, external []netip.Addr
		node            *corev1.Node
		want            []corev1.NodeAddress
	}{
		"no range yet":             {node: ownObject("", hostname)},
		"range of another family":  {node: ownObject("fd00::/64")},
		"range":                    {node: ownObject("10.42.3.0/24"), want: cluster},
		"former address of a site": {node: ownObject("10.42.3.0/24", address(corev1.NodeInternalIP, "192.168.1.10"), hostname), want: cluster},
		"named": {
			given: []netip.Addr{netip.MustParseAddr("192.168.1.10")}, node: ownObject(""),
			want: []corev1.NodeAddress{address(corev1.NodeInternalIP, "192.168.1.10"), hostname},
		},
		"external": {
			external: []netip.Addr{external}, node: ownObject("10.42.3.0/24"),
			want: []corev1.NodeAddress{cluster[0], address(corev1.NodeExternalIP, "203.0.113.7"), hostname},
		},
	} {
		cfg := Config{NodeName: "edge1", NodeIPs: c.given, ExternalIPs: c.external}
		if got := wantedAddresses(cfg, c.node); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v", name, got)
		}
		patch := nodePatch(cfg, c.node)
		if (patch != nil) != (c.want != nil) {
			t.Errorf("%s: patch %v", name, patch)
		}
		if addressed(cfg, c.node) {
			t.Errorf("%s: kube-proxy would start with the wrong address", name)
		}
		c.node.Status.Addresses = c.want
		if patch := nodePatch(cfg, c.node); patch != nil {
			t.Errorf("%s: second patch %v", name, patch)
		}
		if addressed(cfg, c.node) != (c.want != nil) {
			t.Errorf("%s: kube-proxy waits", name)
		}
	}
}

func TestAddressesOfAPersonsCloudProviderStay(t *testing.T) {
	cfg := Config{NodeName: "edge1", KubeletArgs: []string{"cloud-provider=external"}}
	node := ownObject("10.42.3.0/24")
	if addressed(cfg, node) {
		t.Error("kube-proxy does not wait for an address")
	}
	node.Status.Addresses = []corev1.NodeAddress{address(corev1.NodeInternalIP, "172.16.0.9")}
	if patch := nodePatch(cfg, node); patch != nil || !addressed(cfg, node) {
		t.Errorf("patch %v", patch)
	}
}

func TestAnnotationsArePatchedOnlyWhereTheyDiffer(t *testing.T) {
	cfg := Config{NodeName: "edge1", Annotations: func() map[string]string {
		return map[string]string{"same": "1", "changed": "2", "new": "3", "gone": "", "never": ""}
	}}
	node := ownObject("")
	node.Annotations = map[string]string{"same": "1", "changed": "1", "gone": "1", "foreign": "1"}
	got, err := json.Marshal(nodePatch(cfg, node))
	if want := `{"metadata":{"annotations":{"changed":"2","gone":null,"new":"3"}}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestNodePublishesItsAddressesAsSoonAsItHasARange(t *testing.T) {
	client := fake.NewClientset(ownObject(""))
	nodes := client.CoreV1().Nodes()
	refused := false // the first patch
	client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		if !refused {
			refused = true
			return true, nil, errors.New("try later")
		}
		return false, nil, nil
	})
	addressed, reannotate := make(chan struct{}), make(chan struct{}, 1)
	var value atomic.Value
	value.Store("first")
	n := &ownNode{
		cfg: Config{NodeName: "edge1", Reannotate: reannotate, Annotations: func() map[string]string {
			return map[string]string{"kedge.io/x": value.Load().(string)}
		}},
		log: slog.New(slog.DiscardHandler), client: client,
		report: func(string, error) {}, ready: func() {}, addressed: addressed, returning: &returning{made: &registration{}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.run(ctx) }()
	look := func(what string, right func(*corev1.Node) bool) {
		t.Helper()
		testx.Eventually(t, time.Minute, what, func(context.Context) error {
			node, err := nodes.Get(t.Context(), "edge1", metav1.GetOptions{})
			if err == nil && !right(node) {
				err = fmt.Errorf("node %v", node)
			}
			return err
		})
	}
	look("annotation of a node without a range", func(n *corev1.Node) bool { return n.Annotations["kedge.io/x"] == "first" })
	select {
	case <-addressed:
		t.Error("kube-proxy starts at a node without an address")
	default:
	}
	if _, err := nodes.Update(t.Context(), ownObject("10.42.3.0/24"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	look("address", func(n *corev1.Node) bool {
		return len(n.Status.Addresses) > 0 && n.Status.Addresses[0].Address == "10.42.3.1"
	})
	<-addressed
	value.Store("second")
	reannotate <- struct{}{}
	look("changed annotation", func(n *corev1.Node) bool { return n.Annotations["kedge.io/x"] == "second" })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("end: %v", err)
	}
}
