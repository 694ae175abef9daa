// Package nfnl speaks nfnetlink, the netlink family of netfilter: messages, their
// attributes and sockets. It knows no subsystem; those are the packages beside
// it.
//
// A socket belongs to the network namespace of the thread that opened it,
// whichever thread uses it later. Start reading at [Dial] and [NewMessage].
package nfnl
