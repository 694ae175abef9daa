package balancer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	cachetesting "k8s.io/client-go/tools/cache/testing"

	"github.com/kedge-io/kedge/internal/testx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an API that tests change, and a balancer on it.
type bench struct {
	*Balancer
	nodes, services, endpoints *cachetesting.FakeControllerSource
	changed                    atomic.Int64

	mu     sync.Mutex
	refuse error // the next write
	writes int
	events []string
}

// plain keeps reflectors from asking for what the fake cannot do.
type plain struct{}

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func watchOf(f *cachetesting.FakeControllerSource) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) { return f.List(o) },
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (apiwatch.Interface, error) { return f.Watch(o) },
	}, plain{})
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{nodes: cachetesting.NewFakeControllerSource(), services: cachetesting.NewFakeControllerSource(), endpoints: cachetesting.NewFakeControllerSource()}
	b.Balancer = New(Config{Pause: time.Millisecond, OwnNode: "server", Own: []netip.Addr{netip.MustParseAddr("203.0.113.9")}, Reserved: map[uint16]string{22: "the nodes' own ssh"}, Changed: func() { b.changed.Add(1) }}, slog.New(slog.DiscardHandler))
	b.api = api{nodes: watchOf(b.nodes), services: watchOf(b.services), endpointSlices: watchOf(b.endpoints), write: b.write, event: b.event}
	return b
}

func (b *bench) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		b.nodes.Shutdown()
		b.services.Shutdown()
		b.endpoints.Shutdown()
	})
}

// object is the stored service.
func (b *bench) object(name string) *corev1.Service {
	list, err := b.services.List(metav1.ListOptions{})
	if err != nil {
		return nil
	}
	for _, item := range list.(*corev1.List).Items {
		if s := item.Object.(*corev1.Service); s.Name == name {
			return s
		}
	}
	return nil
}

func (b *bench) write(_ context.Context, s *service, ingress []corev1.LoadBalancerIngress) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refuse; err != nil {
		b.refuse = nil
		return err
	}
	b.writes++
	o := b.object(s.Name)
	o.Status.LoadBalancer.Ingress = ingress
	b.services.Modify(o)
	return nil
}

func (b *bench) event(s *service, p problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, fmt.Sprintf("%s %s: %s", nameOf(s), p.reason, p.message))
}

func readyNode(name, public string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"kedge.io/public-address": public}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
}

func balancedService(name string, port int32) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Ports: []corev1.ServicePort{{Port: port, Protocol: corev1.ProtocolTCP}}},
	}
}

// gets waits until a service has these addresses.
func (b *bench) gets(t *testing.T, name, want string) {
	t.Helper()
	testx.Eventually(t, time.Minute, "addresses of "+name+": "+want, func(context.Context) error {
		var words []string
		for _, i := range b.object(name).Status.LoadBalancer.Ingress {
			words = append(words, i.IP)
		}
		if got := strings.Join(words, " "); got != want {
			return errors.New(got)
		}
		return nil
	})
}

func TestServicesFollowTheNodes(t *testing.T) {
	b := newBench(t)
	b.refuse = errors.New("busy")
	b.nodes.Add(readyNode("a", "203.0.113.1"))
	b.services.Add(balancedService("web", 80))
	b.start(t)
	<-b.Synced()
	if got := b.Balanced(); len(got) != 1 || got[0].Name != "shop/web" || fmt.Sprint(got[0].Nodes) != "[a]" {
		t.Errorf("%+v", got)
	}
	b.gets(t, "web", "203.0.113.1")
	b.nodes.Add(readyNode("b", "203.0.113.2"))
	b.gets(t, "web", "203.0.113.1 203.0.113.2")
	b.nodes.Modify(readyNode("a", "198.51.100.7"))
	b.gets(t, "web", "198.51.100.7 203.0.113.2")
	b.nodes.Delete(readyNode("a", ""))
	b.nodes.Add(readyNode("server", ""))
	b.gets(t, "web", "203.0.113.2 203.0.113.9")
	away := readyNode("b", "203.0.113.2")
	away.Status.Conditions[0].Status = corev1.ConditionUnknown
	b.nodes.Modify(away)
	b.gets(t, "web", "203.0.113.9")
	if got := b.Balanced(); fmt.Sprint(got[0].Nodes) != "[b server]" {
		t.Errorf("the ports of a node that is away are %v", got)
	}
}

func TestWhatIsNotChangedIsNotWritten(t *testing.T) {
	b := newBench(t)
	b.nodes.Add(readyNode("a", "203.0.113.1"))
	b.services.Add(balancedService("web", 80))
	b.start(t)
	b.gets(t, "web", "203.0.113.1")
	for range 20 {
		b.nodes.Modify(readyNode("a", "203.0.113.1"))
	}
	b.services.Add(balancedService("other", 81))
	b.gets(t, "other", "203.0.113.1")
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writes != 2 || b.changed.Load() != 2 {
		t.Errorf("%d writes, told %d times", b.writes, b.changed.Load())
	}
}

func TestProblemsAreEventsOnce(t *testing.T) {
	b := newBench(t)
	b.nodes.Add(readyNode("a", "203.0.113.1"))
	b.services.Add(balancedService("ssh", 22))
	b.start(t)
	<-b.Synced()
	b.services.Add(balancedService("web", 80))
	b.gets(t, "web", "203.0.113.1")
	b.gets(t, "ssh", "")
	b.mu.Lock()
	if want := "[shop/ssh PortReserved: port 22 is that of the nodes' own ssh: give the service another port]"; fmt.Sprint(b.events) != want {
		t.Errorf("got %v, want %s", b.events, want)
	}
	b.mu.Unlock()
	b.services.Modify(balancedService("ssh", 2222))
	b.gets(t, "ssh", "203.0.113.1")
}

func TestPatchIsOfThisObject(t *testing.T) {
	s := &service{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	patch, err := patchOf(s, []corev1.LoadBalancerIngress{})
	if err != nil || string(patch) != `{"metadata":{"uid":"u"},"status":{"loadBalancer":{"ingress":[]}}}` || !json.Valid(patch) {
		t.Error(string(patch), err)
	}
}
