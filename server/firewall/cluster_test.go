package firewall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	cachetesting "k8s.io/client-go/tools/cache/testing"
	"k8s.io/client-go/tools/record"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
)

// plain keeps reflectors from asking for what the fake cannot do.
type plain struct{}

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func source(f *cachetesting.FakeControllerSource) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) { return f.List(o) },
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (apiwatch.Interface, error) { return f.Watch(o) },
	}, plain{})
}

// cluster is an API and a fleet of nodes that tests change.
type cluster struct {
	*Firewall
	nodes, firewalls, policies, pods, namespaces *cachetesting.FakeControllerSource

	mu      sync.Mutex
	sink    record.EventSink
	links   map[string][]netip.Addr
	fleet   map[string]*fakeNode
	patches []string // names of nodes
	writes  int
	status  map[string]v1alpha1.EdgeFirewallStatus
}

// fakeNode enforces what it is told by remembering it.
type fakeNode struct {
	mu      sync.Mutex
	ruleset *model.Ruleset
	// answer is the state that it acknowledges with; proven by default.
	answer protocol.State
	// mute: it takes updates and says nothing.
	mute bool
}

func (n *fakeNode) serve(conn net.Conn) {
	hold, err := protocol.Hold(nil)
	if err != nil || protocol.WriteHello(conn, hold.Hello(0, "test")) != nil {
		return
	}
	for r := protocol.NewReader(conn); ; {
		u, err := r.Update()
		if err != nil {
			return
		}
		rs, err := hold.Take(u)
		if err != nil {
			_ = protocol.WriteHello(conn, hold.Hello(0, "test"))
			continue
		}
		n.mu.Lock()
		n.ruleset = rs
		state, mute := n.answer, n.mute
		n.mu.Unlock()
		if state == "" {
			state = protocol.StateProven
		}
		ack := protocol.Ack{Revision: u.Revision, State: state}
		if state == protocol.StateRolledBack {
			ack.Reason = "no server was reached within 15s"
		}
		if !mute && protocol.WriteAck(conn, ack) != nil {
			return
		}
	}
}

// start runs a firewall; before is done to the cluster before that.
func start(t *testing.T, before ...func(*cluster)) *cluster {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	c := &cluster{
		nodes: cachetesting.NewFakeControllerSource(), firewalls: cachetesting.NewFakeControllerSource(),
		policies: cachetesting.NewFakeControllerSource(), pods: cachetesting.NewFakeControllerSource(), namespaces: cachetesting.NewFakeControllerSource(),
		links: map[string][]netip.Addr{}, fleet: map[string]*fakeNode{}, status: map[string]v1alpha1.EdgeFirewallStatus{},
	}
	cfg := Config{
		OwnNode: "server", Own: []netip.Addr{netip.MustParseAddr(ownHost)}, Servers: []netip.Addr{netip.MustParseAddr(ownHost)}, Port: 6443, Advertised: netip.MustParseAddr(ownHost),
		Pods: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, Services: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		Links: c.from, Connected: c.connected, Dial: c.dial, Pause: time.Millisecond, Settle: time.Millisecond, Policies: true,
		Sets: func() map[string]model.AddressSet { return nil },
	}
	c.Firewall = New(cfg, slog.New(slog.DiscardHandler))
	for _, f := range before {
		f(c)
	}
	own := &fakeNode{}
	c.fleet["server"] = own
	c.ServeLocal(func(_ context.Context, conn net.Conn) { own.serve(conn) }, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.run(ctx, api{
			nodes: source(c.nodes), firewalls: source(c.firewalls), policies: source(c.policies), pods: source(c.pods), namespaces: source(c.namespaces),
			annotate: c.annotate, write: c.write, events: c.sink,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("end: %v", err)
		}
		for _, s := range []*cachetesting.FakeControllerSource{c.nodes, c.firewalls, c.policies, c.pods, c.namespaces} {
			s.Shutdown()
		}
		goleak.VerifyNone(t, ignore)
	})
	c.nodes.Add(aNode("server", map[string]string{serverLabel: "true"}))
	testx.Eventually(t, time.Minute, "the component runs", func(context.Context) error {
		if c.node("server") == nil {
			return errors.New("not yet")
		}
		return nil
	})
	return c
}

func (c *cluster) from(node string) []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.links[node]
}

func (c *cluster) connected() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.links {
		names = append(names, name)
	}
	return names
}

func (c *cluster) dial(_ context.Context, node string) (net.Conn, error) {
	c.mu.Lock()
	n := c.fleet[node]
	c.mu.Unlock()
	if n == nil {
		return nil, fmt.Errorf("no node %s", node)
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		n.serve(theirs)
	}()
	return ours, nil
}

// link connects a node from an address, or takes its link away.
func (c *cluster) link(node, from string) *fakeNode {
	c.mu.Lock()
	n := c.fleet[node]
	if n == nil {
		n = &fakeNode{}
		c.fleet[node] = n
	}
	if from == "" {
		delete(c.links, node)
	} else {
		c.links[node] = []netip.Addr{netip.MustParseAddr(from)}
	}
	c.mu.Unlock()
	if from == "" {
		c.Down(node)
	} else {
		c.Up(node)
	}
	return n
}

func (c *cluster) annotate(_ context.Context, name string, data []byte) error {
	var patch struct {
		Metadata struct {
			Annotations map[string]*string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &patch); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patches = append(c.patches, name)
	list, err := c.nodes.List(metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range list.(*corev1.List).Items {
		n := item.Object.(*corev1.Node).DeepCopy()
		if n.Name != name {
			continue
		}
		if n.Annotations == nil {
			n.Annotations = map[string]string{}
		}
		delete(n.Annotations, wire.AnnotationPublicAddress)
		if v := patch.Metadata.Annotations[wire.AnnotationPublicAddress]; v != nil {
			n.Annotations[wire.AnnotationPublicAddress] = *v
		}
		c.nodes.Modify(n)
	}
	return nil
}

func (c *cluster) write(_ context.Context, f *v1alpha1.EdgeFirewall) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	c.status[f.Name] = f.Status
	c.firewalls.Modify(f.DeepCopy())
	return nil
}

func (c *cluster) count() (patches, writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.patches), c.writes
}

func aNode(name string, labels map[string]string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: labels}}
}

// aFirewall denies what comes to the servers but from nodes of the cluster.
func aFirewall(generation int64) *v1alpha1.EdgeFirewall {
	return &v1alpha1.EdgeFirewall{
		ObjectMeta: metav1.ObjectMeta{Name: "closed", UID: "uid-closed", Generation: generation},
		Spec: v1alpha1.EdgeFirewallSpec{
			Ingress: &v1alpha1.FirewallSection{
				Default: "deny",
				Rules:   []v1alpha1.FirewallRule{{Name: "fleet", Action: "allow", Peers: []v1alpha1.FirewallPeer{{Cluster: true}}}},
			},
		},
	}
}

// has tells whether the ruleset of a node names an address in any set.
func (c *cluster) has(node, addr string) bool {
	c.mu.Lock()
	n := c.fleet[node]
	c.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ruleset == nil {
		return false
	}
	a := netip.MustParseAddr(addr)
	for _, set := range n.ruleset.Sets {
		if slices.ContainsFunc(set.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return true
		}
	}
	return false
}

// wait waits until the sets of all these nodes have an address, or have it not.
func (c *cluster) wait(t *testing.T, addr string, want bool, nodes ...string) {
	t.Helper()
	testx.Eventually(t, time.Minute, fmt.Sprintf("%s in the sets of %v: %t", addr, nodes, want), func(context.Context) error {
		for _, n := range nodes {
			if c.has(n, addr) != want {
				return fmt.Errorf("not so on %s", n)
			}
		}
		return nil
	})
}

// waitStatus waits until the status of a firewall is as the check wants it.
func (c *cluster) waitStatus(t *testing.T, name string, check func(v1alpha1.EdgeFirewallStatus) bool) {
	t.Helper()
	testx.Eventually(t, time.Minute, "status of "+name, func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !check(c.status[name]) {
			return fmt.Errorf("it is %+v", c.status[name])
		}
		return nil
	})
}
