package edgefw

import (
	"context"
	"log/slog"
	"sync"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// cutter ends established flows beside the loop, after rules changed.
type cutter struct {
	kernel Kernel
	log    *slog.Logger
	wake   chan struct{}

	mu   sync.Mutex
	wish *apply.Wish
}

// cut has the flows ended that the wish does not let begin.
func (c *cutter) cut(w apply.Wish) {
	pods := w.Ruleset.Pods
	if !w.Ruleset.Host.Cut && pods.IsolatedIngress == "" && pods.IsolatedEgress == "" {
		return // nothing of a former wish matters either
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wish = &w
	notify(c.wake)
}

func (c *cutter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		w := c.wish
		c.mu.Unlock()
		n, err := c.kernel.Cut(ctx, mayLive(*w))
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.log.Warn("connections that the rules do not let begin may go on", "error", err)
		case n > 0:
			c.log.Info("connections ended that the rules do not let begin", "count", n)
		}
	}
}

// mayLive asks the rules of pods, and those of the host where they end flows.
func mayLive(w apply.Wish) func(model.Packet) bool {
	rules := *w.Ruleset
	if !rules.Host.Cut {
		rules.Host = model.HostRules{}
	}
	decider := plan.NewDecider(&rules, w.Facts, w.Local)
	return func(p model.Packet) bool {
		p.Established = false
		return !refused(decider.Decide(p))
	}
}

func refused(d model.Decision) bool { return d.Verdict == model.Deny || d.Verdict == model.Reject }
