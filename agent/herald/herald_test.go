package herald

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

const testCondition corev1.NodeConditionType = "KedgeTest"

// after lets fake time pass, and everybody come to rest.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// inHerald runs f beside a herald of the node edge, in fake time.
func inHerald(t *testing.T, f func(h *Herald, api *fake.Clientset)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		api := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "edge", UID: "uid-edge"}})
		h := New("edge", testCondition, api, slog.New(slog.DiscardHandler))
		wait := h.Start(ctx)
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
	inHerald(t, func(h *Herald, api *fake.Clientset) {
		for range 3 {
			h.Condition(corev1.ConditionTrue, "Shaped", "all is well")
			after(time.Second)
		}
		node, err := api.CoreV1().Nodes().Get(t.Context(), "edge", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c := Of(node, testCondition); c.Status != corev1.ConditionTrue || c.Reason != "Shaped" {
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
	inHerald(t, func(h *Herald, api *fake.Clientset) {
		h.Condition(corev1.ConditionFalse, "UplinkMissing", "there is no device eth7")
		after(time.Second)
		h.Condition(corev1.ConditionTrue, "Shaped", "all is well")
		after(time.Second)
		if got := eventsOf(t, api); got != "Warning Node UplinkMissing, Normal Node Shaped" && got != "Normal Node Shaped, Warning Node UplinkMissing" {
			t.Errorf("events are %q", got)
		}
	})
}

func TestConditionIsOfferedUntilTheServerTakesIt(t *testing.T) {
	inHerald(t, func(h *Herald, api *fake.Clientset) {
		var back atomic.Bool
		api.PrependReactor("get", "nodes", func(ktesting.Action) (bool, runtime.Object, error) {
			return !back.Load(), nil, errors.New("connection refused")
		})
		h.Condition(corev1.ConditionFalse, "KernelLacks", "there is no IFB")
		after(10 * time.Minute)
		back.Store(true)
		after(2 * retryMax)
		if n := patches(api); n != 1 {
			t.Errorf("%d writes after the server came back, want 1", n)
		}
	})
}

func TestWarningsNameTheirObject(t *testing.T) {
	inHerald(t, func(h *Herald, api *fake.Clientset) {
		ref := &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: "default", Name: "web", UID: "uid-web"}
		h.Warn(ref, "BandwidthRefused", "too much")
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

func TestEventsOfTheNodeWaitForAServer(t *testing.T) {
	inHerald(t, func(h *Herald, api *fake.Clientset) {
		var back atomic.Bool
		api.PrependReactor("get", "nodes", func(ktesting.Action) (bool, runtime.Object, error) {
			return !back.Load(), nil, errors.New("connection refused")
		})
		h.NodeEvent(corev1.EventTypeWarning, "RolledBack", "revision 7 cut the link")
		after(10 * time.Minute)
		back.Store(true)
		after(2 * retryMax)
		if got := eventsOf(t, api); got != "Warning Node RolledBack" {
			t.Errorf("events are %q", got)
		}
		if n := patches(api); n != 0 {
			t.Errorf("%d writes of a condition that nobody has set", n)
		}
	})
}
