package balancer

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/edgefw/model"
)

// settle is how long changes are gathered before everything is looked at: the
// endpoints of a service come in several steps.
const settle = 50 * time.Millisecond

// Balancer is safe for use by several goroutines.
type Balancer struct {
	cfg    Config
	log    *slog.Logger
	synced chan struct{}
	wake   chan struct{} // one token: something changed

	mu       sync.Mutex
	balanced []model.Balanced

	// Of the goroutine of Run alone:
	api                             api
	nodes, services, endpointSlices cache.SharedInformer
	wrote                           map[string]time.Time // by service
	told                            map[string][]problem
}

// New returns a balancer that Run makes work.
func New(cfg Config, log *slog.Logger) *Balancer {
	if cfg.Pause == 0 {
		cfg.Pause = DefaultPause
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	return &Balancer{
		cfg: cfg, log: log, synced: make(chan struct{}), wake: make(chan struct{}, 1),
		wrote: map[string]time.Time{}, told: map[string][]problem{},
	}
}

// Synced is closed once all services were looked at.
func (b *Balancer) Synced() <-chan struct{} { return b.synced }

// Balanced returns which ports of which nodes are to be open, by name of the
// service. What it returns is not changed afterwards.
func (b *Balancer) Balanced() []model.Balanced {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.balanced
}

// Run works until ctx ends. It runs once.
func (b *Balancer) Run(ctx context.Context) error {
	var err error
	if b.api, err = connect(ctx, b.cfg.Client); err != nil {
		return err
	}
	defer b.api.close()
	return b.run(ctx)
}

func (b *Balancer) run(ctx context.Context) error {
	if err := b.watch(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var synced []cache.InformerSynced
	for _, i := range []cache.SharedInformer{b.nodes, b.services, b.endpointSlices} {
		running.Go(func() { i.RunWithContext(ctx) })
		synced = append(synced, i.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	return b.keep(ctx)
}

// keep looks at everything now and after each change, changes that come together
// at once.
func (b *Balancer) keep(ctx context.Context) error {
	again := time.NewTimer(0)
	defer again.Stop()
	gathering := true // again will fire within settle
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.wake:
			if !gathering {
				again.Reset(settle)
				gathering = true
			}
			continue
		case <-again.C:
		}
		gathering = false
		if wait := b.look(ctx); wait > 0 {
			again.Reset(wait)
		}
		b.known()
	}
}

func (b *Balancer) known() {
	select {
	case <-b.synced:
	default:
		close(b.synced)
	}
}

func (b *Balancer) watch() error {
	for informer, k := range map[*cache.SharedInformer]struct {
		source  cache.ListerWatcher
		example runtime.Object
		slim    cache.TransformFunc
	}{
		&b.nodes:          {b.api.nodes, &corev1.Node{}, slimNode},
		&b.services:       {b.api.services, &corev1.Service{}, slimService},
		&b.endpointSlices: {b.api.endpointSlices, &discoveryv1.EndpointSlice{}, slimEndpoints},
	} {
		i := cache.NewSharedInformer(k.source, k.example, 0)
		if err := i.SetTransform(k.slim); err != nil {
			return fmt.Errorf("watch %T: %w", k.example, err)
		}
		if _, err := i.AddEventHandler(b.handler()); err != nil {
			return fmt.Errorf("watch %T: %w", k.example, err)
		}
		*informer = i
	}
	return nil
}

func (b *Balancer) handler() cache.ResourceEventHandler {
	kick := func(obj any) {
		if !b.concerns(obj) {
			return
		}
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: kick, DeleteFunc: kick, UpdateFunc: func(old, now any) {
		if differ(old, now) {
			kick(now)
		}
	}}
}

// concerns is false for endpoints that decide nothing, which is most of what
// changes in a cluster.
func (b *Balancer) concerns(obj any) bool {
	e, ok := obj.(*endpoints)
	if !ok {
		return true
	}
	of, exists, _ := b.services.GetStore().GetByKey(e.service)
	s, ok := of.(*service)
	return exists && ok && s.ours && s.local
}

// differ tells whether something changed that decisions are made of: kubelets
// report every few minutes, leases aside.
func differ(old, now any) bool {
	switch a := old.(type) {
	case *node:
		b, ok := now.(*node)
		return !ok || a.labelled != b.labelled || a.excluded != b.excluded || a.ready != b.ready || !slices.Equal(a.public, b.public) || !slices.Equal(a.reported, b.reported)
	case *service:
		b, ok := now.(*service)
		return !ok || a.ours || b.ours
	case *endpoints:
		b, ok := now.(*endpoints)
		return !ok || a.service != b.service || !reflect.DeepEqual(a.nodes, b.nodes)
	}
	return true
}

// look decides about everything, tells the firewall, and writes what changed. It
// returns when to look again, 0 for not before something changes.
func (b *Balancer) look(ctx context.Context) time.Duration {
	nodes := list[*node](b.nodes)
	for i, n := range nodes {
		if n.Name == b.cfg.OwnNode {
			own := *n
			own.public = slices.Concat(b.cfg.Own, n.public)
			nodes[i] = &own
		}
	}
	offers := assign(list[*service](b.services), nodes, list[*endpoints](b.endpointSlices), b.cfg)
	var balanced []model.Balanced
	for _, o := range offers {
		if len(o.nodes) > 0 {
			balanced = append(balanced, o.balanced())
		}
	}
	b.mu.Lock()
	same := reflect.DeepEqual(b.balanced, balanced)
	if !same {
		b.balanced = balanced
	}
	b.mu.Unlock()
	if !same {
		b.cfg.Changed()
	}
	return b.report(ctx, offers)
}

func list[T any](informer cache.SharedInformer) []T {
	var all []T
	for _, o := range informer.GetStore().List() {
		if t, ok := o.(T); ok {
			all = append(all, t)
		}
	}
	return all
}
