// Package conntrack lists the flows that the kernel follows and makes it forget
// single ones, by netlink.
//
// Which flows are to end is decided above. A [Table] is that of the network
// namespace of the thread that opened it. Start reading at [Open].
package conntrack
