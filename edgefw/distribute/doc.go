// Package distribute is the server's end of the edge firewall: it compiles the
// ruleset of each node and takes every connected node to it.
//
// A change ([Distributor.Kick]) is compiled at once, further ones at most every
// [DefaultInterval]. What differs for a node gets the next revision. Each
// connected node has one stream (package protocol) on which it gets the parts
// that it lacks; their bytes are made once and are the same for all nodes.
//
// Invariants:
//   - No node waits for another: each has one goroutine that reads, and one that
//     writes while there is something to write.
//   - A node that is slow has at most [inFlight] updates under way; what changes
//     meanwhile goes out as one, so the newest revision wins.
//   - The revisions of a node only grow, also over a restart of the server:
//     [Distributor.Above] and the nodes' Hellos say what was given before.
//   - A node that no ruleset names gets nothing and keeps what it has.
//   - Acknowledgements are kept here and nowhere else.
//
// Start reading at [Distributor.Run] and session.go.
package distribute
