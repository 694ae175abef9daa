package bandwidth

import (
	"context"

	"github.com/kedge-io/kedge/agent/bandwidth/inventory"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/report"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
)

// pass brings the kernel to what is wished now, and tells who should know.
func (b *Bandwidth) pass(ctx context.Context) error {
	since := b.delays.begin()
	pods, revision := b.parts.Inventory.Pods()
	if revision == 0 {
		b.delays.end(since, false)
		return errUnheard
	}
	now, uplinkErr := b.compose(pods)
	now.err = b.apply(ctx, now)
	// Even if it failed: a pod must not wait for what may never come.
	b.parts.Inventory.Applied(revision)
	b.delays.end(since, now.err == nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now.verdict = judge(now.node.Uplinks, now.err, b.lostNow(), uplinkErr)
	b.now.Store(now)
	b.saving.keep(b.last)
	b.tell(now)
	b.parts.Reporter.Update(b.reportOf(now))
	b.count(now)
	return now.err
}

// compose plans for what is wished and what runs now.
func (b *Bandwidth) compose(pods []inventory.Pod) (now *applied, uplinkErr error) {
	b.last = b.watch.wishes(b.last)
	node := model.Node{Local: b.cfg.Local(), Services: b.cfg.Services}
	node.Uplinks, node.Reserve, uplinkErr = b.parts.Uplinks.Now()
	now = &applied{composed: compose(b.last, pods, node)}
	now.plan, now.assignment, now.refusals = plan.Make(now.node, b.assignment)
	b.assign(now.assignment)
	return now, uplinkErr
}

// assign keeps the numbers of classes before they are used: numbers that are
// lost only cost counters.
func (b *Bandwidth) assign(next plan.Assignment) {
	if b.assignment.Equal(next) {
		return
	}
	b.assignment = next
	if err := saveAssignment(b.cfg.ClassesFile, next); err != nil {
		b.log.Warn("numbers of classes are not kept: a restart makes classes anew", "error", err)
	}
}

// apply brings the kernel to the plan, and says once what was not as it had been
// left.
func (b *Bandwidth) apply(ctx context.Context, now *applied) error {
	before := b.now.Load()
	result, err := b.parts.Kernel.Apply(ctx, now.plan)
	now.gone = result.Gone
	b.drift.result(result.Changes, drifted(before, now, result), err)
	return err
}

// reportOf is a pass in the words of package report.
func (b *Bandwidth) reportOf(now *applied) report.Input {
	in := report.Input{Node: now.node, Refusals: now.refusals, Requests: b.last.requests()}
	for i, view := range now.pods {
		p := now.node.Pods[i]
		in.Pods = append(in.Pods, report.Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Wanted: view.wanted, Problems: view.problems})
	}
	if now.err != nil {
		in.Trouble = now.err.Error()
	}
	in.Attribution, in.Abilities = b.parts.Kernel.Attribution()
	return in
}

// drifted tells that something else has changed what the former pass left.
func drifted(before, now *applied, result shape.Result) bool {
	return before != nil && before.err == nil && result.Changes > 0 && before.plan.String() == now.plan.String()
}
