// Package shape brings the kernel to a plan of bandwidth: IFB devices with HTB
// trees, and filters at the uplinks and at the host's ends of the pods' links
// that send packets through them. It is the only user of netlink for queueing
// disciplines, classes and filters.
//
// It has no state of its own: what is there is read from the kernel at each
// call, so that a crash at any point leaves what the next call completes. Ours
// are IFB devices whose name or alias begins with kedge-out or kedge-in and all
// below them, filters with our preference, handle and name, and a clsact that
// has our mark. Nothing else is changed or removed. All calls work in the network
// namespace of the calling thread.
//
// Invariants: tables name only classes that are there; filters lead only to
// devices that are there, since a redirection to nowhere drops packets; what
// waits in a class survives its change; a clsact is neither made nor removed on
// the link of a pod that runs. docs/adr/0019-bandwidth-trees.md has the reasons.
//
// Start reading at [Kernel.Apply]; the values are [State], which a plan is
// turned into by [Wish] and which [Kernel.Observe] reads. Netlink is in wire.go,
// send.go and list.go, what the messages say in encode.go, decode.go and
// filters.go.
package shape
