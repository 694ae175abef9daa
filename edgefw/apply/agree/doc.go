// Package agree has no code but tests: random packets meet random rules in the
// real kernel, and what becomes of each, and by which rule, must be what
// [plan.Decide] says. (Package packets has the table of cases that people
// thought of; this one has those that nobody did.)
//
// One test has all that comes to the node's devices and leaves its processes, by
// rules of the host; the other has what is forwarded, by network policies, too.
// Limits, which depend on time, and answers to what is refused are left to
// package packets.
//
// Packets are written byte by byte: what comes is put on a cable, what the node
// sends goes through a raw socket. Behind kedge's jumps the test has rules of
// its own that note what got there, with its mark, and drop it; so no packet
// leaves a connection behind. All of it runs with each variant of iptables, in
// network namespaces (tag namespace). A failure names the seed that repeats it.
//
// [plan.Decide]: https://pkg.go.dev/github.com/kedge-io/kedge/edgefw/plan#Decide
package agree
