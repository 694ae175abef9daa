package bandwidth

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// sync writes the status of a policy if it is another one.
func (c *controller) sync(ctx context.Context, it item) error {
	obj, exists, err := c.policies.GetStore().GetByKey(it.policy.String())
	if err != nil {
		return err
	}
	p, ok := obj.(*v1alpha1.BandwidthPolicy)
	if !exists || !ok {
		c.pace.forget(it.policy)
		return nil
	}
	c.pace.looked(it.policy)
	status := sum(p, c.index.about(it.policy, c.node), time.Now())
	if equality.Semantic.DeepEqual(p.Status, status) {
		return nil
	}
	next := *p
	next.Status = status
	err = c.api.write(ctx, &next)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// sweep deletes the report of a node that does not exist.
func (c *controller) sweep(ctx context.Context, it item) error {
	obj, reported, err := c.reports.GetStore().GetByKey(it.node)
	if err != nil {
		return err
	}
	r, ok := obj.(*v1alpha1.NodeBandwidth)
	if _, exists := c.node(it.node); exists || !reported || !ok {
		return nil
	}
	if wait := c.cfg.Grace - time.Since(r.CreationTimestamp.Time); wait > 0 {
		c.queue.AddAfter(it, wait)
		return nil
	}
	if err := c.api.remove(ctx, r); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return err
	}
	c.log.Info("report of a node that is gone was deleted", "node", it.node)
	return nil
}

// pace keeps the looks at each policy apart, and so the writes.
type pace struct {
	pause time.Duration
	mu    sync.Mutex
	last  map[types.NamespacedName]time.Time
}

func newPace(pause time.Duration) *pace {
	return &pace{pause: pause, last: map[types.NamespacedName]time.Time{}}
}

// wait is how long to wait before the next look.
func (p *pace) wait(name types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.pause-time.Since(p.last[name]))
}

func (p *pace) looked(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[name] = time.Now()
}

func (p *pace) forget(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, name)
}
