// Package report tells the cluster what a node's bandwidth is: as the object
// NodeBandwidth, which people and server/bandwidth read, and as the node's
// resources kedge.io/egress-kbps and kedge.io/ingress-kbps, which the scheduler
// counts by.
//
// Its input is a plain value ([Input]) that package bandwidth hands in after
// each pass; handing in never blocks, and nothing here is needed for shaping.
//
// Invariants: what is published as a resource is never less than what the pods
// that kubelet has taken requested, because it looks at all of them again at
// each start and rejects what does not fit any more; nothing is published as
// long as those pods are not known. NodeBandwidth is written on change only, at
// most every 5 s.
//
// Start reading at [Reporter.Update], then resources.go.
package report
