// Package relay is the switch for pod packets between nodes that have no direct
// way to each other: it takes what one node sends over its link, looks whether
// the node may send that, finds the node of the destination and hands the
// packet on.
//
// It does no I/O and holds no packet: a [Port] takes a copy or drops. It must
// not know what a link is. Its invariants:
//
//   - a node sends only from its own pod range, whose first address is the
//     node's own; whatever else it sends is dropped, counted and logged once;
//   - a packet goes to at most one node, never back to its sender, and the
//     receiving kernel has a route of its own for the whole range: there is no
//     way for a packet to go round, so the time to live is left alone, which
//     the two kernels at the ends decrease;
//   - nothing is changed in a packet, so checksums that are left to the
//     receiver's hardware stay as they are;
//   - nothing waits: a node that does not take packets loses its own.
//
// What a packet looks like is known by tunnel/relay/packet. Start reading at
// [Switch.From].
package relay
