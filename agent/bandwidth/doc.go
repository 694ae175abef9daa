// Package bandwidth is the component that keeps the bandwidth of a node's pods
// as the cluster wants it: it brings together what is wished (annotations of the
// node's pods, BandwidthPolicies), what runs (package inventory) and the uplinks
// (package uplink), has a plan made of it (packages policy and plan) and applied
// (package shape).
//
// Invariants: the kernel equals the plan, and is compared with it every 30 s and
// whenever a link changes. Nothing is taken away because something does not
// answer: without a server the wishes are those of last time, and before the
// runtime has said what runs, nothing is applied at all. What the kernel cannot
// do, and what a pod may not have, is said once (events, the node's condition
// KedgeBandwidth) and keeps no pod from running.
//
// It listens to the kernel (linkevents.go) and must not change it: that is for
// package shape. All that is left there outlives the process, is adopted at the
// next start, and [RemoveAll] takes it away without running state. Start reading
// at [Bandwidth.Run], then pass.go and compose.go.
package bandwidth
