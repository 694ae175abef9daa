package bandwidth

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/agent/bandwidth/inventory"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/report"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// fakeInventory has what a test gives it.
type fakeInventory struct {
	mu       sync.Mutex
	pods     []inventory.Pod
	revision uint64
	applied  uint64
	changed  chan struct{}
}

func (f *fakeInventory) Pods() ([]inventory.Pod, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pods, f.revision
}

func (f *fakeInventory) Applied(revision uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = max(f.applied, revision)
}

func (f *fakeInventory) set(pods ...inventory.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pods = pods
	f.revision++
	notify(f.changed)
}

// done tells that the runtime may go on.
func (f *fakeInventory) done() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied == f.revision
}

// fakeUplinks are those of a test.
type fakeUplinks struct {
	mu      sync.Mutex
	uplinks []model.Uplink
}

func (f *fakeUplinks) Now() ([]model.Uplink, model.Reserve, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.uplinks, model.Reserve{}, nil
}

// lose takes the devices away.
func (f *fakeUplinks) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uplinks = slices.Clone(f.uplinks)
	for i := range f.uplinks {
		f.uplinks[i].Index = 0
	}
}

// fakeKernel takes every plan.
type fakeKernel struct {
	mu       sync.Mutex
	plans    []plan.Plan
	err      error
	changes  int // what the next Apply says
	slow     time.Duration
	counters []shape.Counter
	differ   []string
}

func (f *fakeKernel) Apply(_ context.Context, p plan.Plan) (shape.Result, error) {
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	<-time.After(slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plans = append(f.plans, p)
	r := shape.Result{Changes: f.changes}
	f.changes = 0
	return r, f.err
}

func (f *fakeKernel) Counters() ([]shape.Counter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.counters), nil
}

func (f *fakeKernel) Differences(plan.Plan) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.differ, f.err
}

// set changes what the kernel does from now on.
func (f *fakeKernel) set(change func(f *fakeKernel)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// applied are the plans so far.
func (f *fakeKernel) applied() []plan.Plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.plans)
}

func (f *fakeKernel) Attribution() (v1alpha1.Attribution, []string) {
	return v1alpha1.AttributionCgroup, nil
}

// fakeReporter keeps the latest report.
type fakeReporter struct{ in atomic.Pointer[report.Input] }

func (f *fakeReporter) Update(in report.Input) { f.in.Store(&in) }

func (f *fakeReporter) last() report.Input { return *f.in.Load() }

func (f *fakeReporter) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// ceilOf is the ceiling of a class in the latest plan, 0 for none.
func (f *fakeKernel) ceilOf(owner string, d model.Direction) bitrate.Rate {
	return f.classOf(owner, d).Ceil
}

// classOf is a class in the latest plan, zero for none.
func (f *fakeKernel) classOf(owner string, d model.Direction) plan.Class {
	plans := f.applied()
	if len(plans) == 0 {
		return plan.Class{}
	}
	for _, c := range plans[len(plans)-1].Uplinks[0].Trees[d].Classes {
		if c.Owner == owner {
			return c
		}
	}
	return plan.Class{}
}

// bench is a component among fakes.
type bench struct {
	*Bandwidth
	inv            *fakeInventory
	uplinks        *fakeUplinks
	kernel         *fakeKernel
	reporter       *fakeReporter
	pods, policies *fakeAPI
	api            *fake.Clientset
	ready          atomic.Bool
	trouble        atomic.Pointer[error]
	kernelEvent    func()
	files          string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	w := &bench{
		inv: &fakeInventory{changed: make(chan struct{}, 1)},
		uplinks: &fakeUplinks{uplinks: []model.Uplink{{
			Device: "eth0", Index: 2, Rates: [2]bitrate.Rate{100 * bitrate.Mbit, 100 * bitrate.Mbit},
		}}},
		kernel:   &fakeKernel{},
		reporter: &fakeReporter{},
		pods:     &fakeAPI{list: &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}},
		policies: &fakeAPI{list: &v1alpha1.BandwidthPolicyList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}},
		api:      fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "edge", UID: "uid-edge"}}),
		files:    t.TempDir(),
	}
	return w
}

// start runs the component; the result ends it.
func (w *bench) start(t *testing.T) (stop func()) {
	t.Helper()
	var err error
	w.Bandwidth, err = New(Config{
		NodeName: "edge", Kubeconfig: "none",
		StateFile: filepath.Join(w.files, "bandwidth.json"), ClassesFile: filepath.Join(w.files, "classes.json"),
		Local: func() []netip.Prefix { return nil },
	}, Parts{
		Inventory: w.inv, Uplinks: w.uplinks, Kernel: w.kernel, Reporter: w.reporter, Changed: []<-chan struct{}{w.inv.changed},
	}, slog.New(slog.DiscardHandler), func(err error) { w.trouble.Store(&err) })
	if err != nil {
		t.Fatal(err)
	}
	w.dial = func() (clients, error) {
		return clients{kube: w.api, pods: w.pods.ListerWatcher(), policies: w.policies.ListerWatcher()}, nil
	}
	w.listen = func(changed func()) (func(), error) {
		w.kernelEvent = changed
		return func() {}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx, func() { w.ready.Store(true) }) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	}
}

// reported is the latest trouble.
func (w *bench) reported() error {
	if err := w.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// onBench runs f beside a running component.
func onBench(t *testing.T, f func(w *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		stop := w.start(t)
		f(w)
		stop()
	})
}

// runningPod is a pod of the runtime that belongs to [podObject].
func runningPod(name string, annotations map[string]string) inventory.Pod {
	return inventory.Pod{
		UID: "uid-" + name, Namespace: "default", Name: name, Annotations: annotations,
		Link: 7, NetnsID: 1, Addr: netip.MustParseAddr("10.42.0.7"),
		Containers: []inventory.Container{{Name: "app", ID: "c-" + name, Cgroup: 4711}},
	}
}

func limited(rate string) map[string]string {
	return map[string]string{v1alpha1.AnnotationEgress: rate}
}
