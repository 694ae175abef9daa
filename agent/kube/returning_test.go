package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
)

// undone is what the server of these tests has undone: 100 is in the snapshot, 101
// to 4999 were lost.
var undone = wire.Restores{Undone: []wire.Stretch{{After: 100, Before: 5000}}}

func seenAt(revision int) *corev1.Node {
	n := ownObject("10.42.3.0/24")
	n.UID, n.ResourceVersion = "first", fmt.Sprint(revision)
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: "KedgeFirewall", Status: corev1.ConditionTrue}}
	return n
}

// registered is what kubelet registered with.
func registered() *registration {
	n := ownObject("")
	n.Labels = map[string]string{"site": "7"}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}
	made := &registration{}
	made.node.Store(n)
	return made
}

// api is a cluster whose watches and lists of nodes are in the hands of a test.
type api struct {
	*fake.Clientset
	mu      sync.Mutex
	watcher *watch.FakeWatcher
	steps   []string
	closed  bool
}

func newAPI(objects ...runtime.Object) *api {
	a := &api{Clientset: fake.NewClientset(objects...)}
	a.PrependWatchReactor("nodes", func(clienttesting.Action) (bool, watch.Interface, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.watcher = watch.NewFake()
		return true, a.watcher, nil
	})
	a.PrependReactor("*", "nodes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if action.GetVerb() == "create" {
			a.steps = append(a.steps, "create")
		}
		if a.closed {
			return true, nil, apierrors.NewForbidden(corev1.Resource("nodes"), "", errors.New("closed"))
		}
		return false, nil, nil
	})
	return a
}

// did are the steps so far: "create" of a node, and "reclaim".
func (a *api) did() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.steps)
}

func (a *api) reclaim(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.steps, a.closed = append(a.steps, "reclaim"), false
	return nil
}

// forget is a restore of the cluster to before the node joined.
func (a *api) forget(t *testing.T, closed bool) {
	t.Helper()
	if err := a.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("nodes"), "", "edge1"); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = closed
	status := apierrors.NewResourceExpired("too old resource version").Status()
	a.watcher.Error(&status)
}

func (a *api) returning() *returning {
	return &returning{
		cfg: Config{NodeName: "edge1", Reclaim: a.reclaim}, client: a, made: registered(),
		restores: func(context.Context) (wire.Restores, error) { return undone, nil },
	}
}

// follow runs the watch over the own node until the test ends, and returns once
// the node was seen, if it is there.
func (a *api) follow(t *testing.T, r *returning) {
	t.Helper()
	n := &ownNode{
		cfg: r.cfg, log: slog.New(slog.DiscardHandler), client: a, report: func(string, error) {}, ready: func() {}, returning: r,
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	testx.Eventually(t, time.Minute, "the node is watched", func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.watcher == nil || r.seen.Load() == nil {
			return errors.New("not yet")
		}
		return nil
	})
}

func (a *api) awaitNode(t *testing.T) *corev1.Node {
	t.Helper()
	var node *corev1.Node
	testx.Eventually(t, time.Minute, "the node is there again", func(ctx context.Context) (err error) {
		node, err = a.CoreV1().Nodes().Get(ctx, "edge1", metav1.GetOptions{})
		return err
	})
	return node
}

func TestNodeThatARestoreForgotRegistersAgain(t *testing.T) {
	for name, closed := range map[string]bool{"open": false, "closed by a firewall": true} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(seenAt(240))
			a.follow(t, a.returning())
			a.forget(t, closed)
			node := a.awaitNode(t)
			if node.Labels["site"] != "7" || node.UID == "first" || node.Spec.PodCIDR != "" {
				t.Errorf("it is not what kubelet registers: %+v", node)
			}
			conditions := node.Status.Conditions
			if len(conditions) != 2 || conditions[0].Status != corev1.ConditionFalse || conditions[1].Type != "KedgeFirewall" {
				t.Errorf("conditions %+v", conditions)
			}
			// The name first: another machine may have it by now.
			if did := a.did(); !slices.Equal(did, []string{"reclaim", "create"}) {
				t.Errorf("did %q", did)
			}
		})
	}
}

func TestDeletedNodeStaysDeleted(t *testing.T) {
	missing := cache.DeletedFinalStateUnknown{Key: "edge1"}
	for name, c := range map[string]struct {
		seen []int
		gone any
	}{
		"deleted while it was watched":               {[]int{240}, seenAt(241)},
		"in the snapshot":                            {[]int{90, 240}, missing},
		"seen again as of the snapshot":              {[]int{240, 90}, missing},
		"seen again after the restore":               {[]int{240, 5001}, missing},
		"seen after the restore, and older then":     {[]int{5001, 240}, missing},
		"joined after the restore":                   {[]int{5001, 6000}, missing},
		"never seen":                                 {nil, missing},
		"revisions of a datastore that has no order": {[]int{-1}, missing},
	} {
		a := newAPI()
		r := a.returning()
		for _, revision := range c.seen {
			node := seenAt(revision)
			if revision < 0 {
				node.ResourceVersion = "0a-ff"
			}
			r.saw(node)
		}
		r.gone(c.gone)
		if back, err := r.comeBack(t.Context(), r.seen.Load(), true); back || err != nil || len(a.did()) != 0 {
			t.Errorf("%s: %v, %v, did %q", name, back, err, a.did())
		}
		// Nor does a later restore bring it back.
		r.restores = func(context.Context) (wire.Restores, error) {
			return wire.Restores{Undone: []wire.Stretch{{After: 1, Before: 1 << 50}}}, nil
		}
		if back, err := r.comeBack(t.Context(), r.seen.Load(), true); back || err != nil {
			t.Errorf("%s, after another restore: %v, %v", name, back, err)
		}
	}
}

func TestNodeThatAppearsWhileItIsLookedForIsNotMissing(t *testing.T) {
	a := newAPI()
	r := a.returning()
	before := r.seen.Load()
	r.saw(seenAt(240))
	if back, err := r.comeBack(t.Context(), before, true); back || err != nil || r.seen.Load() == nil {
		t.Errorf("%v, %v, seen %v", back, err, r.seen.Load())
	}
}

func TestNameThatAnotherMachineHasIsNotRegistered(t *testing.T) {
	a := newAPI()
	r := a.returning()
	taken := errors.New("held by another machine")
	r.cfg.Reclaim = func(context.Context) error { return taken }
	r.saw(seenAt(240))
	if _, err := r.comeBack(t.Context(), r.seen.Load(), true); !errors.Is(err, taken) || len(a.did()) != 0 {
		t.Errorf("%v, did %q", err, a.did())
	}
	// It is tried again as long as that is so.
	r.cfg.Reclaim = a.reclaim
	if back, err := r.comeBack(t.Context(), r.seen.Load(), true); !back || err != nil {
		t.Errorf("%v, %v", back, err)
	}
	if back, err := r.comeBack(t.Context(), r.seen.Load(), true); back || err != nil || len(a.did()) != 2 {
		t.Errorf("it registers again and again: %v, %q", err, a.did())
	}
}

func TestServerThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	a := newAPI()
	r := a.returning()
	away := errors.New("away")
	r.restores = func(context.Context) (wire.Restores, error) { return wire.Restores{}, away }
	r.saw(seenAt(240))
	if _, err := r.comeBack(t.Context(), r.seen.Load(), true); !errors.Is(err, away) {
		t.Error(err)
	}
	r.restores = a.returning().restores
	if back, err := r.comeBack(t.Context(), r.seen.Load(), true); !back || err != nil {
		t.Error(back, err)
	}
}

func TestRefusedNodeThatWasStartedSinceAsksForItsPlaceOnce(t *testing.T) {
	a := newAPI()
	r := a.returning()
	for range 2 {
		if !r.failed(apierrors.NewForbidden(corev1.Resource("nodes"), "", nil)) || r.failed(errors.New("cut")) {
			t.Error("only a refusal is one")
		}
		if back, err := r.comeBack(t.Context(), r.seen.Load(), true); back || err != nil || !slices.Equal(a.did(), []string{"reclaim"}) {
			t.Errorf("%v, %v, did %q", back, err, a.did())
		}
	}
}

type answer func(*http.Request) (*http.Response, error)

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func TestWhatKubeletRegistersWithIsKept(t *testing.T) {
	var body bytes.Buffer
	node := registered().node.Load()
	node.APIVersion, node.Kind = "v1", "Node"
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(node, &body); err != nil {
		t.Fatal(err)
	}
	made, arrived := &registration{}, []byte(nil)
	next := answer(func(r *http.Request) (_ *http.Response, err error) {
		arrived, err = io.ReadAll(r.Body)
		return &http.Response{StatusCode: http.StatusConflict, Body: http.NoBody}, err
	})
	for _, path := range []string{"/api/v1/namespaces/default/events", nodesPath} {
		if made.node.Load() != nil {
			t.Error("another object was taken for the node")
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://127.0.0.1"+path, bytes.NewReader(body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := made.wrap(next).RoundTrip(r)
		if err != nil || !bytes.Equal(arrived, body.Bytes()) {
			t.Fatalf("%d of %d bytes arrived, %v", len(arrived), body.Len(), err)
		}
		_ = resp.Body.Close()
	}
	if kept := made.node.Load(); kept == nil || kept.Labels["site"] != "7" {
		t.Errorf("kept %+v", kept)
	}
}
