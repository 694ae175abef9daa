// Package hostfacts reads what no rule may take from a node, from where the host
// keeps it: its resolvers and its time servers, and the list --failsafe.
//
// Invariants: reading never fails as a whole and asks nobody over the network
// except for the names of time servers, which [Clock] looks up beside; a file that
// cannot be read counts for nothing. Start reading at [Resolvers] and [Clock].
package hostfacts
