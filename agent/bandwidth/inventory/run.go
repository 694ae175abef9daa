package inventory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/runtime/pods"
)

const (
	// retryAfter is the pause before what could not be found is looked for
	// again, with a jitter of as much again.
	retryAfter = 2 * time.Second
	// lookAfter is how often everything is looked at although nobody said
	// anything, with a jitter of as much again.
	lookAfter = 5 * time.Minute
)

// Run follows links that vanish, looks again for what could not be found, and
// sweeps, until ctx ends.
func (i *Inventory) Run(ctx context.Context) error {
	stop, err := i.kernel.watch(i.vanished)
	if err != nil {
		return err
	}
	defer stop()
	for {
		wait := lookAfter
		if i.look(ctx) {
			wait = retryAfter
		}
		timer := time.NewTimer(wait + rand.N(wait))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-i.again:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// vanished is told of links that were removed; 0 stands for any.
func (i *Inventory) vanished(link int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.sandboxes {
		if s.place.link > 0 && (link == 0 || s.place.link == link) {
			notify(i.again)
			return
		}
	}
}

// seeker is one sandbox as it was when it was looked for.
type seeker struct {
	s          *sandbox
	netns      string
	holder     int
	containers []pods.Container // without an identity yet
}

// look looks at everything once. It returns true when that should be repeated
// soon.
func (i *Inventory) look(ctx context.Context) bool {
	i.mu.Lock()
	var all []seeker
	for _, s := range i.sandboxes {
		if !s.lives() {
			continue
		}
		w := seeker{s: s, netns: s.pod.NetNS, holder: s.holder()}
		for _, c := range s.containers {
			if c.err != nil {
				w.containers = append(w.containers, c.c)
			}
		}
		all = append(all, w)
	}
	ids := i.known()
	heard := i.revision > 0
	i.mu.Unlock()
	var troubles []error
	for _, w := range all {
		troubles = append(troubles, i.seek(ctx, w))
	}
	if heard {
		if err := i.folders.Keep(ids); err != nil && !errors.Is(err, cgroup.ErrNone) {
			troubles = append(troubles, err)
		}
		i.mu.Lock()
		i.change()
		i.mu.Unlock()
	}
	err := errors.Join(troubles...)
	i.report(err)
	return err != nil
}

// seek looks for one sandbox and returns what cannot be found.
func (i *Inventory) seek(ctx context.Context, w seeker) error {
	where, err := i.kernel.locate(w.netns, w.holder)
	found := map[string]uint64{}
	errs := []error{err}
	for _, c := range w.containers {
		id, err := i.identify(ctx, c)
		if err == nil {
			found[c.ID] = id
		}
		errs = append(errs, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil || w.s.place.link == 0 {
		w.s.place = where // else a pod that hides its link would be free of its limits
	}
	w.s.placeErr = err
	for _, c := range w.s.containers {
		if id, ok := found[c.c.ID]; ok {
			c.cgroup, c.err = id, nil
		}
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("pod %s/%s: %w", w.s.pod.Namespace, w.s.pod.Name, errors.Join(errs...))
}
