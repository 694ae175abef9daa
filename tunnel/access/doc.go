// Package access decides what a server may dial through a node. It is pure: a
// function of rules and a target, with no I/O, clock, goroutine or logger.
//
// The default is no. Allowed are the node's kubelet on the loopback address,
// the addresses of pods in the node's own pod ranges, and, at the host's own
// internal addresses, the ports that pods in the host's network declare.
// Everything else is refused: other ports of the host, link-local addresses
// such as cloud metadata, other nodes, names that would have to be resolved.
//
// Start reading at [Rules.Allow].
package access
