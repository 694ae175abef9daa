// Package links shows on each Node object whether the node has its link to a
// server: as the condition KedgeLink, and as an event when that changes.
//
// It writes only when the truth and the object differ, and only when a change
// has lasted for [Config.Settle], so that a thousand nodes that come back after
// a restart of the server cost a thousand reads and hardly a write. It needs no
// watch: the hub says who came and went, and nodes that never come are found by
// one list, a while after the start.
//
// Start reading at [New].
package links
