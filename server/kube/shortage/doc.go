// Package shortage gives figures to the scheduler's "Insufficient
// kedge.io/egress-kbps": what the pod needs, and what is free of how much on the
// nodes that come nearest.
//
// It is a plugin at the scheduler's extension point PostFilter, which is asked
// when no node fits and whose words end up in the event FailedScheduling and in
// the pod's condition PodScheduled. It decides nothing: which node fits is up to
// upstream's NodeResourcesFit, whose verdicts it reads.
//
// Start reading at [New].
package shortage
