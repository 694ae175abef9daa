package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/tunnel"
)

// wired is an egress that has seen the nodes and whose dials end in their own
// name.
func wired(t *testing.T, nodes ...*corev1.Node) *Egress {
	t.Helper()
	e := New(Config{
		ClusterCIDR: clusterCIDR, Own: []netip.Addr{serverAddr}, LocalNode: "server",
		DialNode: func(_ context.Context, node tunnel.NodeName, network, address string) (net.Conn, error) {
			return nil, errors.New("via " + string(node) + " " + network + "/" + address)
		},
		Direct: func(_ context.Context, network, address string) (net.Conn, error) {
			return nil, errors.New("direct " + network + "/" + address)
		},
	})
	client := fake.NewClientset()
	for _, n := range nodes {
		if _, err := client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	if err := e.Watch(factory); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	return e
}

func object(name, podCIDR, internalIP string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Spec.PodCIDR = podCIDR
	n.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: internalIP},
		{Type: corev1.NodeExternalIP, Address: "198.51.100.9"},
	}
	return n
}

func TestDialsGoWhereTheyMust(t *testing.T) {
	e := wired(t, object("edge", "10.42.1.0/24", "10.42.1.1"), object("lan", "10.42.2.0/24", "192.168.1.10"))
	for _, c := range []struct {
		dial          DialFunc
		address, want string
	}{
		{e.Cluster, "10.42.1.7:8443", "via edge tcp/10.42.1.7:8443"},
		{e.Cluster, "10.42.1.1:443", "via edge tcp/10.42.1.1:443"},
		{e.Cluster, "192.168.1.10:443", "via lan tcp/192.168.1.10:443"},
		{e.Cluster, "198.51.100.9:443", "direct tcp/198.51.100.9:443"}, // an ExternalIP is reached from outside
		{e.Cluster, "203.0.113.7:6443", "direct tcp/203.0.113.7:6443"},
		{e.Cluster, "10.42.9.1:80", "no node"},
		{e.Cluster, "127.0.0.1:22", "loopback"},
		{e.Cluster, "[::1]:22", "loopback"},
		{e.Cluster, "[::ffff:127.0.0.1]:22", "loopback"},
		{e.Cluster, "169.254.169.254:80", "link-local"},
		{e.Cluster, "0.0.0.0:22", "loopback"},
		{e.Cluster, "no-port", "no-port"},
		{e.ControlPlane, "127.0.0.1:9443", "direct tcp/127.0.0.1:9443"},
		{e.ControlPlane, "10.42.1.7:8443", "via edge tcp/10.42.1.7:8443"},
		{e.ControlPlane, "webhook.example.org:443", "direct tcp/webhook.example.org:443"},
	} {
		_, err := c.dial(t.Context(), "tcp", c.address)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.address, err, c.want)
		}
	}
}

func TestNamesMustNotLeadToLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	e := wired(t)
	e.cfg.Direct = nil // the real dialler
	if _, err := e.Cluster(t.Context(), "tcp", net.JoinHostPort("localhost", port)); !errors.Is(err, errNotProxied) {
		t.Errorf("localhost: %v, want a refusal", err)
	}
	conn, err := e.ControlPlane(t.Context(), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestDialsBeforeTheNodesAreKnownEndWithTheirContext(t *testing.T) {
	e := New(Config{ClusterCIDR: clusterCIDR})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Cluster(ctx, "tcp", "10.42.1.2:80"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
