package firewall

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// caches are the informers of what rules are made of. Pods and namespaces are
// read only once there is a network policy: without one nothing asks for them,
// and seven thousand pods take memory.
type caches struct {
	nodes, firewalls, policies, pods, namespaces cache.SharedInformer

	running sync.WaitGroup
	// late starts the informers of pods and namespaces.
	late sync.Once
	// synced is closed once these have read everything.
	synced chan struct{}
	// told tell whether the handlers of an informer were told all that it read at
	// first, which is later than that it was read.
	told map[cache.SharedInformer]cache.InformerSynced
}

// kind is one kind of object that is watched.
type kind struct {
	source  cache.ListerWatcher
	example runtime.Object
	slim    cache.TransformFunc
	handler cache.ResourceEventHandler
}

// kinds is what the firewall watches and whom it tells.
func (f *Firewall) kinds(a api) map[*cache.SharedInformer]kind {
	changed := func(any) { f.Kick() }
	when := func(differs func(a, b any) bool) cache.ResourceEventHandlerFuncs {
		return cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(a, b any) {
			if differs(a, b) {
				f.Kick()
			}
		}}
	}
	pods := when(podDiffers)
	policies := when(generationDiffers)
	policies.AddFunc = func(any) { f.needPods(); f.Kick() }
	firewalls := when(generationDiffers)
	firewalls.DeleteFunc = func(obj any) { f.forget(obj); f.Kick() }
	c := &f.caches
	return map[*cache.SharedInformer]kind{
		&c.nodes:      {a.nodes, &corev1.Node{}, slimNode, cache.ResourceEventHandlerFuncs{AddFunc: f.nodeSeen, UpdateFunc: f.nodeUpdated, DeleteFunc: f.nodeGone}},
		&c.firewalls:  {a.firewalls, &v1alpha1.EdgeFirewall{}, slimFirewall, firewalls},
		&c.policies:   {a.policies, &networkingv1.NetworkPolicy{}, slimPolicy, policies},
		&c.pods:       {a.pods, &corev1.Pod{}, slimPod, pods},
		&c.namespaces: {a.namespaces, &corev1.Namespace{}, slimNamespace, when(labelsDiffer)},
	}
}

// watch makes the informers. Nothing runs afterwards.
func (f *Firewall) watch(a api) error {
	f.caches.synced, f.caches.told = make(chan struct{}), map[cache.SharedInformer]cache.InformerSynced{}
	for informer, k := range f.kinds(a) {
		if k.source == nil {
			continue
		}
		i := cache.NewSharedInformer(k.source, k.example, 0)
		if err := i.SetTransform(k.slim); err != nil {
			return fmt.Errorf("watch %T: %w", k.example, err)
		}
		handler, err := i.AddEventHandler(k.handler)
		if err != nil {
			return fmt.Errorf("watch %T: %w", k.example, err)
		}
		*informer, f.caches.told[i] = i, handler.HasSynced
	}
	return nil
}

// start runs the informers until ctx ends and returns once they know everything
// but pods.
func (c *caches) start(ctx context.Context) error {
	early := []cache.SharedInformer{c.nodes, c.firewalls}
	if c.policies != nil {
		early = append(early, c.policies)
	}
	if !c.run(ctx, early...) {
		return ctx.Err()
	}
	return nil
}

// run runs informers and waits until they know everything and have told it: where
// nodes come from is known by their handler alone.
func (c *caches) run(ctx context.Context, informers ...cache.SharedInformer) bool {
	var synced []cache.InformerSynced
	for _, i := range informers {
		c.running.Go(func() { i.RunWithContext(ctx) })
		synced = append(synced, c.told[i])
	}
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// needPods starts to read pods and namespaces, once.
func (f *Firewall) needPods() {
	f.caches.late.Do(func() {
		f.caches.running.Go(func() {
			if f.caches.run(f.ctx, f.caches.pods, f.caches.namespaces) {
				close(f.caches.synced)
				f.Kick()
			}
		})
	})
}

// podsKnown tells whether all pods and namespaces were read.
func (c *caches) podsKnown() bool {
	select {
	case <-c.synced:
		return true
	default:
		return false
	}
}
