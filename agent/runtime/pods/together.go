package pods

import (
	"context"
	"sync"
)

// Together returns an observer that tells all of them at the same time, and
// returns when the last one has: the patience of the runtime is for each, not for
// their sum.
func Together(observers ...Observer) Observer { return together(observers) }

type together []Observer

// Synchronize implements Observer.
func (t together) Synchronize(ctx context.Context, pods []Sandbox, containers []Container) {
	t.each(func(o Observer) { o.Synchronize(ctx, pods, containers) })
}

// Observe implements Observer.
func (t together) Observe(ctx context.Context, event Event) {
	t.each(func(o Observer) { o.Observe(ctx, event) })
}

func (t together) each(tell func(Observer)) {
	var all sync.WaitGroup
	for _, o := range t {
		all.Go(func() { tell(o) })
	}
	all.Wait()
}
