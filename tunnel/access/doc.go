// Package access decides what a server may dial through a node. It is pure: a
// function of rules and a target, with no I/O, clock, goroutine or logger.
//
// The default is no. Allowed are the node's kubelet on the loopback address
// and the addresses of pods in the node's own pod ranges. Everything else is
// refused: other ports of the host (also by the host's address inside the pod
// range), link-local addresses such as cloud metadata, other nodes, names that
// would have to be resolved.
//
// Start reading at [Rules.Allow].
package access
