//go:build namespace

package network

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kedge-io/kedge/internal/wire"
)

func nodeObject(name, cidr, address string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Spec.PodCIDR = cidr
	n.Annotations = map[string]string{wire.AnnotationAddresses: address}
	return n
}

// startOn runs the component on a host; the result ends it.
func startOn(n *node, client kubernetes.Interface) (ready <-chan struct{}, reports <-chan error, stop func()) {
	n.T.Helper()
	c := startedComponent(n, client)
	return c.ready, c.reports, c.stop
}

// started is a component that runs.
type started struct {
	*Network
	ready   <-chan struct{}
	reports <-chan error
	stop    func()
}

func startedComponent(n *node, client kubernetes.Interface) started {
	n.T.Helper()
	reported := make(chan error, 1000)
	c, err := New(n.cfg, slog.New(slog.DiscardHandler), func(err error) { reported <- err })
	if err != nil {
		n.T.Fatal(err)
	}
	c.client = func() (kubernetes.Interface, error) { return client, nil }
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan struct{}), make(chan error, 1)
	go n.Do(func() { ended <- c.Run(ctx, func() { close(up) }) })
	return started{c, up, reported, func() {
		cancel()
		if err := <-ended; err != nil {
			n.T.Errorf("the component ended with %v", err)
		}
	}}
}

func await(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not within 20 s", what)
	}
}

// eventually probes until the text has the part, or not, as wanted.
func eventually(t *testing.T, look func() string, part string, there bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		text := look()
		if strings.Contains(text, part) == there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q there: want %v within 20 s:\n%s", part, there, text)
		}
	}
}

func TestComponentFollowsTheClusterAndStartsWithoutIt(t *testing.T) {
	s := newSite(t)
	client := fake.NewClientset(nodeObject("a", "", "192.0.2.1"), nodeObject("b", "10.42.1.0/24", "192.0.2.2"))
	ready, _, stop := startOn(s.a, client)
	nodes := client.CoreV1().Nodes()
	routes := func() string { return s.a.Run("ip route") }

	if _, err := nodes.Update(t.Context(), nodeObject("a", "10.42.0.0/24", "192.0.2.1"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "ready after the node got its range", ready)
	if _, err := os.Stat(filepath.Join(s.a.cfg.ConfDir, conflistName)); err != nil {
		t.Error(err)
	}
	peers := func() string {
		text, _ := os.ReadFile(filepath.Join(s.a.cfg.StateDir, "network.json"))
		return string(text)
	}
	eventually(t, peers, "192.0.2.2", true)
	if _, err := nodes.Create(t.Context(), nodeObject("c", "10.42.2.0/24", "192.0.2.3"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, peers, "192.0.2.3", true)
	if err := nodes.Delete(t.Context(), "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, peers, "192.0.2.3", false)
	stop()
	contains(t, "routes after the end", routes(), "unreachable 10.42.0.0/16")

	// A reboot without a server.
	s.a.removeAll()
	ready, _, stop = startOn(s.a, unreachable())
	defer stop()
	await(t, "ready without a server", ready)
	contains(t, "routes without a server", routes(), "unreachable 10.42.0.0/16", "dev kedge0")
}

// unreachable is the client of a node that is cut off.
func unreachable() kubernetes.Interface {
	client := fake.NewClientset()
	client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no route to server")
	})
	return client
}

func TestComponentReportsTroubleAndRecovers(t *testing.T) {
	s := newSite(t)
	s.a.Run("ip link add kedge0 type veth peer name other")
	ready, reports, stop := startOn(s.a, fake.NewClientset(nodeObject("a", "10.42.0.0/24", "192.0.2.1")))
	defer stop()
	select {
	case err := <-reports:
		if err == nil || !strings.Contains(err.Error(), "kedge0") {
			t.Errorf("reported %v, want the link named", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing reported within 20 s")
	}
	s.a.Run("ip link delete kedge0")
	await(t, "ready after the link was freed", ready)
}
