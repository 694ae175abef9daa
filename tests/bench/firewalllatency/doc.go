// Command firewalllatency measures how long it takes from kubectl apply of an
// EdgeFirewall until nodes enforce it.
//
// Parts, which are the rows of docs/benchmarks.md, section "Edge firewall: from
// kubectl apply to packets":
//
//	real       six nodes of a laboratory, two on each of three NATed sites. Each
//	           gets a datagram every 5 ms from its neighbour, which a rule lets in
//	           or not in turn; what counts is the first packet that met the new rule
//	set        the same with one rule, and an AddressSet that changes
//	simulated  500 nodes: a process with 500 real links to the server, each with the
//	           node's real loop, acknowledgements and proofs; only the kernel below
//	           the loop is made up, and takes as long as a real one
//	watch      the baseline: 500 plain watches of EdgeFirewalls at the API, as agents
//	           would have that look for themselves; nothing is compiled or enforced
//
// The first two have one laboratory, the others another. In each part one more watch, beside the server, tells when the API has the
// change: what comes before that is kubectl and the API server.
//
// Start reading at main.go; steps.go is one change.
package main
