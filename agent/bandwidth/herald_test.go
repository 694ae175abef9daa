package bandwidth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// inHerald runs f beside a herald of the node edge, in fake time.
func inHerald(t *testing.T, f func(h *herald, api *fake.Clientset)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		api := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "edge", UID: "uid-edge"}})
		h := newHerald("edge", api, slog.New(slog.DiscardHandler))
		wait := h.start(ctx)
		f(h, api)
		cancel()
		wait()
		synctest.Wait()
	})
}

func patches(api *fake.Clientset) int {
	n := 0
	for _, a := range api.Actions() {
		if a.Matches("patch", "nodes/status") {
			n++
		}
	}
	return n
}

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

func TestConditionIsWrittenOnceForEachChange(t *testing.T) {
	inHerald(t, func(h *herald, api *fake.Clientset) {
		for range 3 {
			h.condition(corev1.ConditionTrue, "Shaped", "all is well")
			after(time.Second)
		}
		node, err := api.CoreV1().Nodes().Get(t.Context(), "edge", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c := conditionOf(node); c.Status != corev1.ConditionTrue || c.Reason != "Shaped" {
			t.Errorf("the condition is %+v", c)
		}
		if n := patches(api); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
		if got := eventsOf(t, api); got != "" {
			t.Errorf("events %s, want none for what is as it should be", got)
		}
	})
}

func TestTroubleAndItsEndAreEventsOfTheNode(t *testing.T) {
	inHerald(t, func(h *herald, api *fake.Clientset) {
		h.condition(corev1.ConditionFalse, "UplinkMissing", "there is no device eth7")
		after(time.Second)
		h.condition(corev1.ConditionTrue, "Shaped", "all is well")
		after(time.Second)
		if got := eventsOf(t, api); got != "Warning Node UplinkMissing, Normal Node Shaped" && got != "Normal Node Shaped, Warning Node UplinkMissing" {
			t.Errorf("events are %q", got)
		}
	})
}

func TestConditionIsOfferedUntilTheServerTakesIt(t *testing.T) {
	inHerald(t, func(h *herald, api *fake.Clientset) {
		var back atomic.Bool
		api.PrependReactor("get", "nodes", func(ktesting.Action) (bool, runtime.Object, error) {
			return !back.Load(), nil, errors.New("connection refused")
		})
		h.condition(corev1.ConditionFalse, "KernelLacks", "there is no IFB")
		after(10 * time.Minute)
		back.Store(true)
		after(2 * heraldRetryMax)
		if n := patches(api); n != 1 {
			t.Errorf("%d writes after the server came back, want 1", n)
		}
	})
}

func TestPodEventNamesThePodOfTheAPI(t *testing.T) {
	inHerald(t, func(h *herald, api *fake.Clientset) {
		h.podEvent(podRef{Namespace: "default", Name: "web", UID: "uid-web"}, "BandwidthRefused", "too much")
		after(time.Second)
		list, err := api.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("events are %v, %v", list, err)
		}
		e := list.Items[0]
		if e.InvolvedObject.UID != "uid-web" || e.Type != corev1.EventTypeWarning || e.Message != "too much" {
			t.Errorf("the event is %+v", e)
		}
	})
}
