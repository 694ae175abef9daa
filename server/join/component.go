package join

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// ComponentName is the word for this part in logs and health.
const ComponentName = "join"

const (
	sweepInterval = 6 * time.Hour
	firstRetry    = 200 * time.Millisecond
	lastRetry     = 30 * time.Second
)

// Component returns the part that keeps the records: it follows which devices
// were replaced, records the server's own node and sweeps expired tokens. The
// handlers answer whether it runs or not. It needs the API server's component.
func (s *Server) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: ComponentName, Needs: needs, Run: s.run}
}

func (s *Server) run(ctx context.Context, ready func()) error {
	client, err := s.api()
	if err != nil {
		return err
	}
	followed, err := s.follow(ctx, client)
	if err != nil {
		return err
	}
	defer followed()
	if ctx.Err() != nil {
		return nil
	}
	ready()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	var again <-chan time.Time
	delay := firstRetry
	for {
		if local, kept := s.recordLocal(ctx), s.reinstate(ctx); local && kept {
			again, delay = nil, firstRetry
		} else {
			again = time.After(delay/2 + rand.N(delay))
			delay = min(2*delay, lastRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-again:
		case <-sweep.C:
			if err := (&Tokens{client: client, now: s.config.Now}).Sweep(ctx); err != nil {
				s.log.Warn("expired tokens were not swept", "error", err)
			}
		}
	}
}

// follow keeps the set of barred devices, and returns when it is complete. wait
// returns once it is kept no more, after the end of ctx.
func (s *Server) follow(ctx context.Context, client kubernetes.Interface) (wait func(), err error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithNamespace(Namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = recordLabel + "=" + nodeRecord }))
	informer := factory.Core().V1().Secrets().Informer()
	// Not before all claims are there: until then, what the file says counts.
	var complete atomic.Bool
	// Most claims bar nobody: a thousand of them cost nothing.
	update := func(objects ...any) {
		if complete.Load() && slices.ContainsFunc(objects, barsSomebody) {
			s.collect(informer.GetStore())
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { update(object) },
		UpdateFunc: func(before, after any) { update(before, after) },
		DeleteFunc: func(object any) { update(object) },
	})
	if err != nil {
		return nil, err
	}
	factory.StartWithContext(ctx)
	if cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		complete.Store(true)
		s.collect(informer.GetStore())
		s.recall(informer.GetStore())
	}
	return factory.Shutdown, nil
}

// recall hands on what is known of former joins.
func (s *Server) recall(store cache.Store) {
	if s.config.Joined == nil {
		return
	}
	for _, object := range store.List() {
		stored, ok := object.(*corev1.Secret)
		if !ok {
			continue
		}
		if claim, err := parseClaim(stored); err == nil && claim.From.IsValid() && claim.Device != (wire.Pin{}) {
			s.config.Joined(claim.Node, claim.From, claim.Joined)
		}
	}
}

func barsSomebody(object any) bool {
	stored, ok := object.(*corev1.Secret)
	return !ok || len(stored.Data[keyFormer])+len(stored.Data[keyRevoked]) > 0
}

// collect finds in the claims who is barred.
func (s *Server) collect(store cache.Store) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	next, names := newBarred(), map[wire.Pin]string{}
	for _, object := range store.List() {
		stored, ok := object.(*corev1.Secret)
		if !ok {
			continue
		}
		// A record that a person spoilt cannot say who is barred.
		claim, err := parseClaim(stored)
		if err != nil {
			continue
		}
		if claim.Device == (wire.Pin{}) && s.config.Vacated != nil {
			s.config.Vacated(claim.Node)
		}
		for _, device := range claim.Former {
			next.Replaced, names[device] = append(next.Replaced, device), claim.Node
		}
		if claim.Node == s.config.LocalNode {
			continue // whoever has the server has its node
		}
		for _, device := range claim.Revoked {
			next.Revoked[device], names[device] = claim.Node, claim.Node
		}
		if changed, ok := claim.podsRefused(); ok {
			next.Pods[claim.Node] = changed
		}
	}
	next.keep(s.barred.Load().kept, s.config.LocalNode)
	slices.SortFunc(next.Replaced, func(a, b wire.Pin) int { return bytes.Compare(a[:], b[:]) })
	s.bar(next, names)
}

// recordLocal records the device of the server's own node, if that is due. It
// returns false when it has to be tried again.
func (s *Server) recordLocal(ctx context.Context) bool {
	device := s.pending.Load()
	if device == nil {
		return true
	}
	_, nodes, err := s.stores()
	if err != nil {
		return false
	}
	lost, err := nodes.Force(ctx, s.config.LocalNode, *device)
	if err != nil {
		// The namespace is made by the API server some time after it is ready.
		s.log.Debug("own node not recorded yet", "node", s.config.LocalNode, "error", err)
		return false
	}
	if lost != (wire.Pin{}) {
		s.log.Warn("another device held the name of the server's own node", "node", s.config.LocalNode, "device", lost.String())
	}
	s.pending.CompareAndSwap(device, nil)
	return true
}
