// Package shape brings the kernel to a plan of bandwidth: IFB devices with HTB
// trees, and filters at the uplinks and at the host's ends of the pods' links
// that send packets through them. It is the only user of netlink for queueing
// disciplines, classes and filters.
//
// It has no state of its own: what is there is read from the kernel at each
// call, so that a crash at any point leaves what the next call completes. Ours
// are the devices with the prefix kedge-out and kedge-in and all below them, and
// filters with our priority, handle and name; nothing else is changed or
// removed. All calls work in the network namespace of the calling thread.
//
// Start reading at [Kernel.Apply]; the values are [State], which a plan is
// turned into by [Wish] and which [Kernel.Observe] reads.
package shape
