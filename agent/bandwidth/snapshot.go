package bandwidth

import (
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
)

// Snapshot is what is planned and what the kernel has counted up to now. It reads
// the counters and nothing else; before the first plan it is empty.
func (b *Bandwidth) Snapshot() snapshot.Node {
	now := b.now.Load()
	if now == nil {
		return snapshot.Build(snapshot.Input{Node: b.cfg.NodeName, Time: time.Now(), Trouble: []string{errUnheard.Error()}})
	}
	in := snapshot.Input{
		Node: b.cfg.NodeName, Model: now.node, Plan: now.plan, Assignment: now.assignment, Refusals: now.refusals,
		Wanted: map[string]policy.Wanted{}, Problems: map[string][]policy.Problem{},
	}
	for i, view := range now.pods {
		uid := now.node.Pods[i].UID
		in.Wanted[uid], in.Problems[uid] = view.wanted, view.problems
	}
	how, _ := b.parts.Kernel.Attribution()
	in.Attribution = string(how)
	if err := now.verdict.err(); err != nil {
		in.Trouble = append(in.Trouble, err.Error())
	}
	counters, err := b.parts.Kernel.Counters()
	if err != nil {
		in.Trouble = append(in.Trouble, err.Error())
	}
	for _, c := range counters {
		in.Counters = append(in.Counters, snapshot.Counter{
			Uplink: c.Uplink, Direction: c.Direction, Minor: c.Minor, Counters: snapshot.Counters{
				Bytes: c.Bytes, Packets: c.Packets, Drops: c.Drops, Overlimits: c.Overlimits, Backlog: c.Backlog,
			},
		})
	}
	in.Time, in.Mended = time.Now(), b.drift.times()
	if d := b.delays.figures(); d.Count > 0 {
		in.Delays = &snapshot.Delays{Count: int(d.Count), Sum: d.Sum, Last: d.Last, P50: d.P50, P99: d.P99, Max: d.Max}
	}
	return snapshot.Build(in)
}
