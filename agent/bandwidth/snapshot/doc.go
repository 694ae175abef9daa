// Package snapshot is what a node tells about its bandwidth at one moment:
// uplinks, pods and containers with their limits, where these come from, the
// classes in the kernel and their counters. kedge bandwidth and the metrics are
// made of it; its JSON is for programs.
//
// Rates are bits per second as quantities of Kubernetes ("10M"), counters grow
// from when their class was made. It is pure: values in, values out.
//
// Start reading at [Node] and [Build].
package snapshot
