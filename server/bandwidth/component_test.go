package bandwidth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/testx"
)

// cluster is an API with policies, reports and nodes that tests change.
type cluster struct {
	policies, reports, nodes *cachetesting.FakeControllerSource

	mu      sync.Mutex
	writes  int
	refuse  error // the next write
	removed []string
}

// plain keeps reflectors from asking for what the fake cannot do.
type plain struct{}

func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func source(f *cachetesting.FakeControllerSource) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) { return f.List(o) },
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (apiwatch.Interface, error) { return f.Watch(o) },
	}, plain{})
}

func (c *cluster) write(_ context.Context, p *v1alpha1.BandwidthPolicy) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refuse; err != nil {
		c.refuse = nil
		return err
	}
	c.writes++
	c.policies.Modify(p.DeepCopy())
	return nil
}

func (c *cluster) remove(_ context.Context, r *v1alpha1.NodeBandwidth) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = append(c.removed, r.Name)
	c.reports.Delete(r)
	return nil
}

// status waits until the policy's status has these words.
func (c *cluster) status(t *testing.T, words ...string) {
	t.Helper()
	testx.Eventually(t, time.Minute, "status "+strings.Join(words, ", "), func(context.Context) error {
		text := "no policy"
		list, err := c.policies.List(metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, item := range list.(*corev1.List).Items {
			p := item.Object.(*v1alpha1.BandwidthPolicy)
			text = fmt.Sprintf("matched=%d applied=%d refused=%d", p.Status.Matched, p.Status.Applied, p.Status.Refused)
			for _, c := range p.Status.Conditions {
				text += fmt.Sprintf(" %s=%s", c.Type, c.Reason)
			}
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return errors.New(text)
			}
		}
		return nil
	})
}

func start(t *testing.T, grace time.Duration) *cluster {
	t.Helper()
	goleakAtEnd(t)
	cl := &cluster{policies: cachetesting.NewFakeControllerSource(), reports: cachetesting.NewFakeControllerSource(), nodes: cachetesting.NewFakeControllerSource()}
	c := newController(Config{Pause: time.Millisecond, Grace: grace}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.run(ctx, api{policies: source(cl.policies), reports: source(cl.reports), nodes: source(cl.nodes), write: cl.write, remove: cl.remove})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("end: %v", err)
		}
		for _, s := range []*cachetesting.FakeControllerSource{cl.policies, cl.reports, cl.nodes} {
			s.Shutdown()
		}
	})
	return cl
}

func goleakAtEnd(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

func node(name string, status corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}},
	}
}

func from(r report) *v1alpha1.NodeBandwidth {
	return &v1alpha1.NodeBandwidth{
		ObjectMeta: metav1.ObjectMeta{Name: r.node, UID: types.UID(r.node), CreationTimestamp: metav1.NewTime(time.Now())},
		Status:     v1alpha1.NodeBandwidthStatus{Policies: []v1alpha1.NodePolicyStatus{r.policy}},
	}
}

func TestStatusFollowsNodesReportsAndPolicies(t *testing.T) {
	c := start(t, time.Hour)
	c.nodes.Add(node("edge-1", corev1.ConditionTrue))
	c.nodes.Add(node("edge-2", corev1.ConditionTrue))
	c.policies.Add(aPolicy(1))
	c.status(t, "matched=0", "Applied=NoPods", "Accepted=Accepted")
	c.reports.Add(from(says("edge-1", 1, 3, 3, 0)))
	c.status(t, "matched=3 applied=3 refused=0", "Applied=Applied")
	c.reports.Add(from(says("edge-2", 1, 2, 1, 1)))
	c.status(t, "matched=5 applied=4 refused=1", "Applied=PodsRefused")
	c.reports.Modify(from(says("edge-2", 1, 2, 2, 0)))
	c.status(t, "matched=5 applied=5 refused=0", "Applied=Applied")
	c.nodes.Modify(node("edge-2", corev1.ConditionUnknown))
	c.status(t, "matched=5 applied=5", "Applied=NodesSilent")
	c.nodes.Delete(node("edge-2", corev1.ConditionUnknown))
	c.status(t, "matched=3 applied=3", "Applied=Applied")
	c.nodes.Add(node("edge-2", corev1.ConditionTrue))
	c.status(t, "matched=5 applied=5", "Applied=Applied")
	c.policies.Modify(aPolicy(2))
	c.status(t, "matched=5 applied=0", "Applied=Pending")
	c.reports.Modify(from(says("edge-1", 2, 3, 3, 0)))
	c.reports.Delete(from(says("edge-2", 1, 2, 2, 0)))
	c.status(t, "matched=3 applied=3", "Applied=Applied")
}

func TestWriteThatFailsIsTriedAgain(t *testing.T) {
	c := start(t, time.Hour)
	c.mu.Lock()
	c.refuse = errors.New("somebody else wrote")
	c.mu.Unlock()
	c.policies.Add(aPolicy(1))
	c.status(t, "Applied=NoPods")
}

func TestReportsThatSayTheSameAreNotWritten(t *testing.T) {
	c := start(t, time.Hour)
	c.nodes.Add(node("edge-1", corev1.ConditionTrue))
	c.reports.Add(from(says("edge-1", 1, 3, 3, 0)))
	c.policies.Add(aPolicy(1))
	c.status(t, "applied=3")
	c.mu.Lock()
	before := c.writes
	c.mu.Unlock()
	for range 20 {
		c.reports.Modify(from(says("edge-1", 1, 3, 3, 0)))
		c.nodes.Modify(node("edge-1", corev1.ConditionTrue))
	}
	c.reports.Modify(from(says("edge-1", 1, 3, 2, 0)))
	c.status(t, "applied=2")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes != before+1 {
		t.Errorf("%d writes for one change", c.writes-before)
	}
}

func TestReportOfNodeThatIsGoneIsDeleted(t *testing.T) {
	c := start(t, time.Millisecond)
	c.nodes.Add(node("edge-1", corev1.ConditionTrue))
	c.reports.Add(from(says("edge-1", 1, 3, 3, 0)))
	c.reports.Add(from(says("gone", 1, 3, 3, 0)))
	removed := func(want string) {
		testx.Eventually(t, time.Minute, "the reports of "+want+" are deleted", func(context.Context) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if got := strings.Join(c.removed, " "); got != want {
				return fmt.Errorf("deleted: %q", got)
			}
			return nil
		})
	}
	removed("gone")
	c.nodes.Delete(node("edge-1", corev1.ConditionTrue))
	removed("gone edge-1")
}

func TestNodeMayReportBeforeItHasRegistered(t *testing.T) {
	c := start(t, time.Hour)
	c.reports.Add(from(says("edge-1", 1, 3, 3, 0)))
	c.policies.Add(aPolicy(1))
	c.status(t, "matched=0")
	c.nodes.Add(node("edge-1", corev1.ConditionTrue))
	c.status(t, "matched=3")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.removed) > 0 {
		t.Error("its report was deleted")
	}
}
