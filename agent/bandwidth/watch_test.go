package bandwidth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// fakeAPI lists and watches one kind; it may be away.
type fakeAPI struct {
	mu      sync.Mutex
	away    error
	list    runtime.Object
	watcher *apiwatch.FakeWatcher
}

func (f *fakeAPI) ListerWatcher() cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.list, f.away
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (apiwatch.Interface, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.away != nil {
				return nil, f.away
			}
			f.watcher = apiwatch.NewFakeWithOptions(apiwatch.FakeOptions{ChannelSize: 100})
			return f.watcher, nil
		},
	}, noWatchList{})
}

// noWatchList makes reflectors list and then watch.
type noWatchList struct{}

func (noWatchList) IsWatchListSemanticsUnSupported() bool { return true }

// goAway breaks the watch, and all requests from now on.
func (f *fakeAPI) goAway() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = errors.New("connection refused")
	f.watcher.Stop()
}

func podObject(name string, annotations map[string]string) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID = "default", name, types.UID("uid-"+name)
	pod.Annotations, pod.ResourceVersion = annotations, "1"
	pod.Spec.NodeName = "edge"
	pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "app"}}
	return pod
}

func policyObject(name string, generation int64) *v1alpha1.BandwidthPolicy {
	p := &v1alpha1.BandwidthPolicy{}
	p.Namespace, p.Name, p.UID, p.Generation, p.ResourceVersion = "default", name, types.UID("uid-"+name), generation, "1"
	return p
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// watching is a watch of fakes and what it told.
type watching struct {
	*watch
	pods, policies *fakeAPI
	late, early    atomic.Int32
	done           chan struct{}
	log            lockedBuffer
}

func startWatch(ctx context.Context, t *testing.T, pods, policies *fakeAPI) *watching {
	t.Helper()
	w := &watching{pods: pods, policies: policies, done: make(chan struct{})}
	var err error
	w.watch, err = newWatch(clients{pods: pods.ListerWatcher(), policies: policies.ListerWatcher()}, slog.New(slog.NewTextHandler(&w.log, nil)), func(late bool) {
		if late {
			w.late.Add(1)
		} else {
			w.early.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
	after(time.Second)
	return w
}

func inWatch(t *testing.T, f func(w *watching)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pods := &fakeAPI{list: &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []corev1.Pod{*podObject("web", map[string]string{v1alpha1.AnnotationEgress: "10M", "note": "x"})}}}
		policies := &fakeAPI{list: &v1alpha1.BandwidthPolicyList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: []v1alpha1.BandwidthPolicy{*policyObject("all", 1)}}}
		w := startWatch(ctx, t, pods, policies)
		f(w)
		cancel()
		<-w.done
	})
}

func TestWishesAreThoseOfTheAPI(t *testing.T) {
	inWatch(t, func(w *watching) {
		got := w.wishes(wishes{Pods: map[string]podWish{"gone": {}}})
		pod := got.Pods["uid-web"]
		if len(got.Pods) != 1 || !got.fresh || pod.Annotations[v1alpha1.AnnotationEgress] != "10M" || len(pod.Annotations) != 1 {
			t.Errorf("pods are %+v, want web with its bandwidth", got.Pods)
		}
		if len(pod.Containers) != 1 || pod.Containers[0] != "app" {
			t.Errorf("containers are %v", pod.Containers)
		}
		if len(got.Policies) != 1 || got.Policies[0].Name != "all" {
			t.Errorf("policies are %+v", got.Policies)
		}
		if w.late.Load() != 0 {
			t.Error("what was there before counts as a change")
		}
	})
}

func TestADeadWatchKeepsTheWishes(t *testing.T) {
	inWatch(t, func(w *watching) {
		w.pods.goAway()
		w.policies.goAway()
		after(10 * time.Minute)
		got := w.wishes(wishes{})
		if len(got.Pods) != 1 || len(got.Policies) != 1 {
			t.Errorf("wishes are %+v, want them kept", got)
		}
		if n := strings.Count(w.log.String(), "cannot be read"); n != 2 {
			t.Errorf("%d lines in ten minutes, want one for each kind:\n%s", n, w.log.String())
		}
	})
}

func TestWithoutAPIWishesAreTheLastKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		away := errors.New("connection refused")
		w := startWatch(ctx, t, &fakeAPI{away: away}, &fakeAPI{away: away})
		last := wishes{Pods: map[string]podWish{"uid-web": {}}, Policies: []v1alpha1.BandwidthPolicy{*policyObject("all", 1)}}
		got := w.wishes(last)
		if len(got.Pods) != 1 || len(got.Policies) != 1 || got.fresh {
			t.Errorf("wishes are %+v, want the last known ones", got)
		}
		cancel()
		<-w.done
	})
}

func TestOnlyChangesOfWishesAreTold(t *testing.T) {
	inWatch(t, func(w *watching) {
		running := podObject("web", map[string]string{v1alpha1.AnnotationEgress: "10M", "note": "y"})
		running.ResourceVersion, running.Status.Phase = "2", corev1.PodRunning
		w.pods.watcher.Modify(running)
		status := policyObject("all", 1)
		status.ResourceVersion, status.Status.Matched = "2", 3
		w.policies.watcher.Modify(status)
		synctest.Wait()
		if w.late.Load() != 0 {
			t.Errorf("%d changes told, want none for statuses", w.late.Load())
		}
		faster := podObject("web", map[string]string{v1alpha1.AnnotationEgress: "20M"})
		faster.ResourceVersion = "3"
		w.pods.watcher.Modify(faster)
		w.policies.watcher.Modify(policyObject("all", 2))
		synctest.Wait()
		if w.late.Load() != 2 {
			t.Errorf("%d changes told, want 2", w.late.Load())
		}
	})
}

func TestAStaticPodIsKnownByTheRuntimesUID(t *testing.T) {
	pod := podObject("static", map[string]string{mirrorAnnotation: "0123abcd", v1alpha1.AnnotationIngress: "1M"})
	slim, err := slimPodObject(pod)
	if err != nil {
		t.Fatal(err)
	}
	if uid := runtimeUID(slim.(*corev1.Pod)); uid != "0123abcd" {
		t.Errorf("its UID is %s", uid)
	}
	if w := wishOf(slim.(*corev1.Pod)); w.UID != "uid-static" || len(w.Annotations) != 1 {
		t.Errorf("its wish is %+v, want the object's UID for events and one annotation", w)
	}
}
