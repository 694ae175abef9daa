package bandwidth

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/agent/herald"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

func TestNothingIsAppliedBeforeTheRuntimeWasHeard(t *testing.T) {
	onBench(t, func(w *bench) {
		after(startPatience / 2)
		if len(w.kernel.applied()) != 0 || w.ready.Load() {
			t.Errorf("%d plans applied, ready %v", len(w.kernel.applied()), w.ready.Load())
		}
		after(2 * startPatience)
		if len(w.kernel.applied()) != 0 || !w.ready.Load() || !errors.Is(w.reported(), errUnheard) {
			t.Errorf("%d plans applied, ready %v, reported %v; want the node not to wait for ever", len(w.kernel.applied()), w.ready.Load(), w.reported())
		}
		w.inv.set(runningPod("web", limited("10M")))
		synctest.Wait()
		if got := w.kernel.ceilOf("pod default/web", model.Egress); got != 10*bitrate.Mbit || w.reported() != nil {
			t.Errorf("its ceiling is %s, reported %v", got, w.reported())
		}
	})
}

func TestAChangedAnnotationIsAppliedAtOnceAndMeasured(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set(runningPod("web", limited("10M")))
		w.pods.watcher.Add(podObject("web", limited("10M")))
		after(time.Second)
		before := w.delays.figures().Count
		w.kernel.set(func(k *fakeKernel) { k.slow = 3 * time.Millisecond })
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
		before := w.kernel.applied()[len(w.kernel.applied())-1].String()
		w.pods, w.policies = &fakeAPI{away: errors.New("no route")}, &fakeAPI{away: errors.New("no route")}
		stop = w.start(t)
		after(time.Second)
		if now := w.kernel.applied()[len(w.kernel.applied())-1].String(); now != before {
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
		if !w.inv.done() {
			t.Error("the runtime waits")
		}
		w.kernel.set(func(k *fakeKernel) {
			k.err = &shape.Missing{What: "IFB devices", Module: "ifb", Err: errors.New("operation not supported")}
		})
		after(time.Second)
		w.inv.set()
		synctest.Wait()
		if !w.inv.done() || !w.ready.Load() || w.reported() == nil {
			t.Errorf("the runtime waits, or ready %v, reported %v", w.ready.Load(), w.reported())
		}
		after(time.Minute)
		node, err := w.api.CoreV1().Nodes().Get(t.Context(), "edge", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c := herald.Of(node, Condition); c.Status != corev1.ConditionFalse || c.Reason != ReasonKernelLacks {
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
		w.uplinks.lose()
		w.kernelEvent()
		after(time.Second)
		if w.reported() == nil {
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
		before := len(w.kernel.applied())
		w.kernel.set(func(k *fakeKernel) { k.changes = 1 })
		w.kernelEvent()
		after(gather)
		if len(w.kernel.applied()) != before+1 || w.drift.times() != 1 {
			t.Errorf("%d passes, %d times mended", len(w.kernel.applied())-before, w.drift.times())
		}
		for range 1000 { // a fight
			w.kernel.set(func(k *fakeKernel) { k.changes = 1 })
			w.kernelEvent()
			after(10 * time.Millisecond)
		}
		if n := len(w.kernel.applied()) - before; n > 15 {
			t.Errorf("%d passes in ten seconds of a fight", n)
		}
	})
}

func TestAKernelThatLacksSomethingIsNotAskedForItsOwnEvents(t *testing.T) {
	onBench(t, func(w *bench) {
		w.kernel.set(func(k *fakeKernel) {
			k.err = &shape.Missing{What: "HTB", Module: "sch_htb", Err: errors.New("no such file")}
		})
		w.inv.set()
		after(2 * lookAfter)
		before := len(w.kernel.applied())
		for range 1000 { // asking makes a device and removes it
			w.kernelEvent()
			after(10 * time.Millisecond)
		}
		if n := len(w.kernel.applied()) - before; n > 2 {
			t.Errorf("%d passes in ten seconds", n)
		}
		w.kernel.set(func(k *fakeKernel) { k.err = nil })
		after(2 * lookAfter)
		if w.reported() != nil {
			t.Errorf("reported %v after the module was loaded", w.reported())
		}
	})
}

func TestALinkThatTalksAllTheTimeIsNotListenedToAllTheTime(t *testing.T) {
	onBench(t, func(w *bench) {
		w.inv.set()
		after(time.Minute)
		before := len(w.kernel.applied())
		for range 1000 {
			w.kernelEvent()
			after(time.Millisecond)
		}
		if n := len(w.kernel.applied()) - before; n < 2 || n > 7 {
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
		minor := w.kernel.classOf("pod default/web", model.Egress).Minor
		w.kernel.set(func(k *fakeKernel) { k.counters = []shape.Counter{{Minor: minor}} })
		for range 30 {
			after(lookAfter)
			w.kernel.set(func(k *fakeKernel) {
				k.counters[0].Bytes += uint64(lookAfter.Seconds()) * 10_000_000 / 8
				k.counters[0].Drops += 3
			})
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
		if w.reporter.last().Requests == nil {
			t.Error("no requests although the API said that there are no pods")
		}
		asks := podObject("web", nil)
		asks.Spec.Containers[0].Resources.Requests = corev1.ResourceList{v1alpha1.ResourceEgress: resource.MustParse("5000")}
		w.pods.watcher.Add(asks)
		after(time.Second)
		if got := w.reporter.last().Requests["uid-web"]; got.Rates[model.Egress] != 5*bitrate.Mbit {
			t.Errorf("requests are %v", w.reporter.last().Requests)
		}
		ended := podObject("web", nil)
		ended.ResourceVersion, ended.Status.Phase = "2", corev1.PodSucceeded
		w.pods.watcher.Modify(ended)
		after(time.Second)
		if got := w.reporter.last().Requests; got == nil || len(got) != 0 {
			t.Errorf("requests are %v after the pod ended", got)
		}
	})
}

// eventsOf are the events that the API got.
func eventsOf(t *testing.T, api *fake.Clientset) string {
	t.Helper()
	list, err := api.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range list.Items {
		words = append(words, e.Type+" "+e.InvolvedObject.Kind+" "+e.Reason)
	}
	return strings.Join(words, ", ")
}
