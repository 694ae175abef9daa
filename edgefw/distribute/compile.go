package distribute

import (
	"context"
	"fmt"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// compileAll compiles at each kick, a while after the one before.
func (d *Distributor) compileAll(ctx context.Context, source func() (plan.Input, error)) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	failed := ""
	for {
		select {
		case <-d.kick:
		case <-ctx.Done():
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		pause.Reset(d.cfg.Interval)
		err := d.compile(source)
		if err == nil {
			failed = ""
			continue
		}
		if err.Error() != failed {
			failed = err.Error()
			d.log.Warn("edge firewalls are not compiled, trying on", "error", err)
		}
		pause.Reset(d.cfg.retry)
		d.Kick()
	}
}

// compile takes the input as it is now and gives each node its target. What
// changed until here is in it.
func (d *Distributor) compile(source func() (plan.Input, error)) error {
	select {
	case <-d.kick: // what came during the pause
	default:
	}
	d.mu.Lock()
	since, asked := d.kicked, d.asked
	d.kicked = time.Time{}
	d.mu.Unlock()
	if since.IsZero() {
		since = time.Now()
	}
	began := time.Now()
	in, err := source()
	if err != nil {
		d.mu.Lock()
		d.kicked = since
		d.mu.Unlock()
		return err
	}
	compiled := d.cfg.Compile(in)
	targets, problem := d.library.targets(compiled.Rulesets)
	took := time.Since(began)

	d.mu.Lock()
	d.publishLocked(compiled.Rulesets, targets, since)
	d.figures.Compiles++
	d.figures.CompileTime += took
	revision := d.revision
	d.mu.Unlock()
	d.cfg.Compiled(compiled, revision)
	d.mu.Lock()
	d.done = asked
	d.announceLocked()
	d.mu.Unlock()
	d.cfg.Changed()
	if problem != nil {
		d.log.Error("a ruleset cannot be sent, its nodes keep the former one", "error", problem)
	}
	return nil
}

// publishLocked gives nodes their targets. All that changed have the same
// revision.
func (d *Distributor) publishLocked(rulesets map[string]*model.Ruleset, targets map[*model.Ruleset]*target, since time.Time) {
	next := d.revision + 1
	for name, rs := range rulesets {
		t := targets[rs]
		if t == nil {
			continue
		}
		n := d.nodeLocked(name)
		if n.target != nil && n.target.root == t.root {
			n.target = t
			continue
		}
		d.revision = next
		n.target, n.wanted, n.since = t, next, since
		if n.state.State != StateUnsupported {
			d.enterLocked(n, StatePending, "")
		}
		d.pushLocked(n)
	}
	for name, n := range d.nodes {
		if _, ok := rulesets[name]; !ok {
			n.target = nil
			d.forgetLocked(n)
		}
	}
}

// Sync waits until an input that was taken after the call is compiled, and
// returns the highest revision then.
func (d *Distributor) Sync(ctx context.Context) (uint64, error) {
	d.mu.Lock()
	d.asked++
	mine := d.asked
	d.mu.Unlock()
	d.Kick()
	for {
		d.mu.Lock()
		done, revision, changed := d.done >= mine, d.revision, d.changed
		d.mu.Unlock()
		if done {
			return revision, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, fmt.Errorf("compile the edge firewalls: %w", ctx.Err())
		}
	}
}
