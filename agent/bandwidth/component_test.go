package bandwidth

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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

// fakeUplinks are those of a test.
type fakeUplinks struct {
	uplinks []model.Uplink
	err     error
}

func (f *fakeUplinks) Now() ([]model.Uplink, model.Reserve, error) {
	return f.uplinks, model.Reserve{}, f.err
}

// fakeKernel takes every plan.
type fakeKernel struct {
	plans    []plan.Plan
	err      error
	changes  int // what the next Apply says
	slow     time.Duration
	counters []shape.Counter
	differ   []string
}

func (f *fakeKernel) Apply(_ context.Context, p plan.Plan) (shape.Result, error) {
	if f.slow > 0 {
		<-time.After(f.slow)
	}
	f.plans = append(f.plans, p)
	r := shape.Result{Changes: f.changes}
	f.changes = 0
	return r, f.err
}

func (f *fakeKernel) Counters() ([]shape.Counter, error) { return f.counters, nil }

func (f *fakeKernel) Differences(plan.Plan) ([]string, error) { return f.differ, f.err }

func (f *fakeKernel) Attribution() (v1alpha1.Attribution, []string) {
	return v1alpha1.AttributionCgroup, nil
}

// fakeReporter keeps the latest report.
type fakeReporter struct{ last report.Input }

func (f *fakeReporter) Update(in report.Input) { f.last = in }

func (f *fakeReporter) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// ceilOf is the ceiling of a class in the latest plan, 0 for none.
func (f *fakeKernel) ceilOf(owner string, d model.Direction) bitrate.Rate {
	if len(f.plans) == 0 {
		return 0
	}
	for _, c := range f.plans[len(f.plans)-1].Uplinks[0].Trees[d].Classes {
		if c.Owner == owner {
			return c.Ceil
		}
	}
	return 0
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
	ready          bool
	reported       error
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
	}, slog.New(slog.DiscardHandler), func(err error) { w.reported = err })
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
	go func() { done <- w.Run(ctx, func() { w.ready = true }) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	}
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

func TestNothingIsAppliedBeforeTheRuntimeWasHeard(t *testing.T) {
	onBench(t, func(w *bench) {
		after(startPatience / 2)
		if len(w.kernel.plans) != 0 || w.ready {
			t.Errorf("%d plans applied, ready %v", len(w.kernel.plans), w.ready)
		}
		after(2 * startPatience)
		if len(w.kernel.plans) != 0 || !w.ready || !errors.Is(w.reported, errUnheard) {
			t.Errorf("%d plans applied, ready %v, reported %v; want the node not to wait for ever", len(w.kernel.plans), w.ready, w.reported)
		}
		w.inv.set(runningPod("web", limited("10M")))
		synctest.Wait()
		if got := w.kernel.ceilOf("pod default/web", model.Egress); got != 10*bitrate.Mbit || w.reported != nil {
			t.Errorf("its ceiling is %s, reported %v", got, w.reported)
		}
	})
}

func TestAChangedAnnotationIsAppliedAtOnceAndMeasured(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set(runningPod("web", limited("10M")))
		w.pods.watcher.Add(podObject("web", limited("10M")))
		after(time.Second)
		before := w.delays.figures().Count
		w.kernel.slow = 3 * time.Millisecond
		faster := podObject("web", limited("20M"))
		faster.ResourceVersion = "2"
		w.pods.watcher.Modify(faster)
		after(3 * time.Millisecond)
		if got := w.kernel.ceilOf("pod default/web", model.Egress); got != 20*bitrate.Mbit {
			t.Errorf("its ceiling is %s, want 20M", got)
		}
		d := w.delays.figures()
		if d.Count != before+1 || d.Last < 3*time.Millisecond || d.Last > gather+3*time.Millisecond {
			t.Errorf("delays are %+v", d)
		}
	})
}

func TestAPolicyReachesItsPods(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set(runningPod("web", nil))
		w.pods.watcher.Add(podObject("web", nil))
		p := policyObject("all", 1)
		rate := resource.MustParse("30M")
		p.Spec.Ingress = &v1alpha1.BandwidthLimit{Max: &rate}
		w.policies.watcher.Add(p)
		after(time.Second)
		if got := w.kernel.ceilOf("pod default/web", model.Ingress); got != 30*bitrate.Mbit {
			t.Errorf("its ceiling is %s, want 30M", got)
		}
	})
}

func TestWithoutAServerARestartShapesTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		stop := w.start(t)
		w.inv.set(runningPod("web", limited("10M")))
		w.pods.watcher.Add(podObject("web", limited("25M"))) // changed since it started
		p := policyObject("all", 1)
		rate := resource.MustParse("30M")
		p.Spec.Ingress = &v1alpha1.BandwidthLimit{Max: &rate}
		w.policies.watcher.Add(p)
		after(time.Second)
		stop()
		before := w.kernel.plans[len(w.kernel.plans)-1].String()
		w.pods, w.policies = &fakeAPI{away: errors.New("no route")}, &fakeAPI{away: errors.New("no route")}
		stop = w.start(t)
		after(time.Second)
		if now := w.kernel.plans[len(w.kernel.plans)-1].String(); now != before {
			t.Errorf("before:\n%s\nwithout a server:\n%s", before, now)
		}
		stop()
	})
}

func TestARunningPodThatTheAPIForgotKeepsItsLimit(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set(runningPod("web", limited("10M")))
		w.pods.watcher.Add(podObject("web", limited("10M")))
		after(time.Second)
		w.pods.watcher.Delete(podObject("web", limited("10M")))
		after(time.Second)
		if got := w.kernel.ceilOf("pod default/web", model.Egress); got != 10*bitrate.Mbit {
			t.Errorf("its ceiling is %s, want that with which it runs", got)
		}
	})
}

func TestTheRuntimeGoesOnWhenThePlanIsAppliedOrCannotBe(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set(runningPod("web", limited("10M")))
		after(gather)
		if w.inv.applied != w.inv.revision {
			t.Errorf("revision %d applied of %d", w.inv.applied, w.inv.revision)
		}
		w.kernel.err = &shape.Missing{What: "IFB devices", Module: "ifb", Err: errors.New("operation not supported")}
		after(time.Second)
		w.inv.set()
		synctest.Wait()
		if w.inv.applied != w.inv.revision || !w.ready || w.reported == nil {
			t.Errorf("revision %d applied of %d, ready %v, reported %v", w.inv.applied, w.inv.revision, w.ready, w.reported)
		}
		after(time.Minute)
		node, err := w.api.CoreV1().Nodes().Get(t.Context(), "edge", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c := conditionOf(node); c.Status != corev1.ConditionFalse || c.Reason != ReasonKernelLacks {
			t.Errorf("the condition is %+v", c)
		}
	})
}

func TestABadAnnotationIsAnEventOnceAndTheRestHolds(t *testing.T) {
	onBench(t, func(w *bench) {
		words := map[string]string{v1alpha1.AnnotationEgress: "ten", v1alpha1.AnnotationIngress: "10M"}
		w.inv.set(runningPod("web", words))
		w.pods.watcher.Add(podObject("web", words))
		for range 5 {
			after(lookAfter)
		}
		if got := eventsOf(t, w.api); got != "Warning Pod BandwidthRefused" {
			t.Errorf("events are %q, want one", got)
		}
		if got := w.kernel.ceilOf("pod default/web", model.Ingress); got != 10*bitrate.Mbit {
			t.Errorf("the ceiling of ingress is %s, want 10M", got)
		}
	})
}

func TestAGuaranteeThatDoesNotFitIsAnEvent(t *testing.T) {
	onBench(t, func(w *bench) {
		words := map[string]string{v1alpha1.AnnotationEgressMin: "500M"}
		w.inv.set(runningPod("web", words))
		w.pods.watcher.Add(podObject("web", words))
		after(time.Second)
		if got := eventsOf(t, w.api); got != "Warning Pod BandwidthRefused" {
			t.Errorf("events are %q, want one", got)
		}
	})
}

func TestAnUplinkThatVanishesIsACondition(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set()
		after(time.Second)
		w.uplinks.uplinks[0].Index = 0
		w.kernelEvent()
		after(time.Second)
		if w.reported == nil {
			t.Error("the component is not degraded")
		}
		if got := eventsOf(t, w.api); got != "Warning Node BandwidthUplinkMissing" {
			t.Errorf("events are %q", got)
		}
	})
}

func TestWhatSomebodyTookAwayIsBackAtOnce(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set()
		after(time.Minute)
		before := len(w.kernel.plans)
		w.kernel.changes = 1
		w.kernelEvent()
		after(gather)
		if len(w.kernel.plans) != before+1 || w.drift.times() != 1 {
			t.Errorf("%d passes, %d times mended", len(w.kernel.plans)-before, w.drift.times())
		}
		for range 1000 { // a fight
			w.kernel.changes = 1
			w.kernelEvent()
			after(10 * time.Millisecond)
		}
		if n := len(w.kernel.plans) - before; n > 15 {
			t.Errorf("%d passes in ten seconds of a fight", n)
		}
	})
}

func TestAKernelThatLacksSomethingIsNotAskedForItsOwnEvents(t *testing.T) {
	onBench(t, func(w *bench) {
		w.kernel.err = &shape.Missing{What: "HTB", Module: "sch_htb", Err: errors.New("no such file")}
		w.inv.set()
		after(2 * lookAfter)
		before := len(w.kernel.plans)
		for range 1000 { // asking makes a device and removes it
			w.kernelEvent()
			after(10 * time.Millisecond)
		}
		if n := len(w.kernel.plans) - before; n > 2 {
			t.Errorf("%d passes in ten seconds", n)
		}
		w.kernel.err = nil
		after(2 * lookAfter)
		if w.reported != nil {
			t.Errorf("reported %v after the module was loaded", w.reported)
		}
	})
}

func TestALinkThatTalksAllTheTimeIsNotListenedToAllTheTime(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set()
		after(time.Minute)
		before := len(w.kernel.plans)
		for range 1000 {
			w.kernelEvent()
			after(time.Millisecond)
		}
		if n := len(w.kernel.plans) - before; n < 2 || n > 7 {
			t.Errorf("%d passes in a second", n)
		}
	})
}

func TestAPodAtItsCeilingForLongIsAnEvent(t *testing.T) {
	onBench(t, func(w *bench) {
		words := limited("10M")
		w.inv.set(runningPod("web", words))
		w.pods.watcher.Add(podObject("web", words))
		after(time.Second)
		var minor uint16
		for _, c := range w.kernel.plans[0].Uplinks[0].Trees[model.Egress].Classes {
			if c.Owner == "pod default/web" {
				minor = c.Minor
			}
		}
		w.kernel.counters = []shape.Counter{{Minor: minor}}
		for range 30 {
			after(lookAfter)
			w.kernel.counters[0].Bytes += uint64(lookAfter.Seconds()) * 10_000_000 / 8
			w.kernel.counters[0].Drops += 3
		}
		if got := eventsOf(t, w.api); got != "Warning Pod BandwidthThrottled" {
			t.Errorf("events are %q", got)
		}
	})
}

func TestWhatPodsRequestIsReportedOnceTheAPIHasSpoken(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set()
		after(gather)
		if w.reporter.last.Requests == nil {
			t.Error("no requests although the API said that there are no pods")
		}
		asks := podObject("web", nil)
		asks.Spec.Containers[0].Resources.Requests = corev1.ResourceList{v1alpha1.ResourceEgress: resource.MustParse("5000")}
		w.pods.watcher.Add(asks)
		after(time.Second)
		if got := w.reporter.last.Requests["uid-web"]; got.Rates[model.Egress] != 5*bitrate.Mbit {
			t.Errorf("requests are %v", w.reporter.last.Requests)
		}
		ended := podObject("web", nil)
		ended.ResourceVersion, ended.Status.Phase = "2", corev1.PodSucceeded
		w.pods.watcher.Modify(ended)
		after(time.Second)
		if got := w.reporter.last.Requests; got == nil || len(got) != 0 {
			t.Errorf("requests are %v after the pod ended", got)
		}
	})
}
