// Package plan turns what people wrote and the fleet as it is now into what
// each node enforces ([Compile]), and tells what that does with a packet
// ([Decide]), whether it would cut the node off ([Cuts]) and what is different
// from before ([Diff]). It is pure: values in, values out, no clock.
//
// # What a ruleset means
//
// A packet of the node's own traffic is asked about in this order:
//
//  1. Where the direction has neither a rule nor a default, the firewall has no
//     opinion: no chain is made, and nothing below happens.
//  2. The implied rules ([ImpliedRules]), which nobody can take away. The kernel
//     is rendered from the same list.
//  3. The rules of all firewalls that select the node, one firewall after the
//     other: by priority, then the older, then the lower name; within one in the
//     order in which they were written. The first that matches decides, those
//     with action log aside.
//  4. The ports of load balancers.
//  5. The default of the first of these firewalls that has one; without any the
//     firewall has no opinion.
//
// Ingress is what comes to an address of the node, a multicast or broadcast
// address or a service address, by the address and port that the client used:
// before kube-proxy or Docker translate it. Egress is what processes of the node
// and pods in its network send. What the node forwards for pods is the matter of
// network policies (package netpol) alone.
//
// Rules have no effect on connections that were let through once; firewalls
// with onChange cut end those that the rules of now would not let begin.
//
// # Invariants
//
// The result is the same for any order of nodes, sets, services and firewalls.
// It has no rule that can never match because of the ones before it, and no set
// that no rule names. Nodes for which it is the same share it, and a [Compiler]
// gives the same pointers as long as nothing changes.
//
// Start reading at compile.go, then chain.go, peers.go and implied.go.
package plan
