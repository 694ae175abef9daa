package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Lease follows the renewals of a node's lease.
type Lease struct {
	done   chan struct{}
	cancel context.CancelFunc
	gap    time.Duration
	last   time.Time
}

// WatchLease begins to follow. The clock of this process decides when a renewal was seen,
// not what the node wrote.
func (c *Cluster) WatchLease(t testing.TB, node string) *Lease {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &Lease{done: make(chan struct{}), cancel: cancel}
	t.Cleanup(func() { cancel(); <-l.done })
	go func() {
		defer close(l.done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		var renewed time.Time
		for {
			o, err := c.Client.CoordinationV1().Leases("kube-node-lease").Get(ctx, node, metav1.GetOptions{})
			if err == nil && o.Spec.RenewTime != nil && o.Spec.RenewTime.After(renewed) {
				l.saw(time.Now())
				renewed = o.Spec.RenewTime.Time
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return l
}

func (l *Lease) saw(now time.Time) {
	if !l.last.IsZero() {
		l.gap = max(l.gap, now.Sub(l.last))
	}
	l.last = now
}

// Stop returns the longest time between two renewals, that which was not over
// included.
func (l *Lease) Stop() (time.Duration, error) {
	l.cancel()
	<-l.done
	if l.last.IsZero() {
		return 0, errors.New("the lease was never seen")
	}
	l.saw(time.Now())
	return l.gap, nil
}
