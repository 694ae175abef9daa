// Package firewall is the component that enforces the cluster's firewall on this
// node: it gives the loop of package edgefw the kernel, the facts of the host, the
// proof that a server is within reach and what the runtime tells of pods, and tells
// people what comes of it (handlers, metrics, events, the node's condition
// KedgeFirewall).
//
// Invariants: it needs no other component and no server. What was proven last is
// in force before anything else of the node runs ([Restore]), and stays when the
// agent ends. What no rule may take away is found out here and never comes from a
// server. The sockets by which kedge reaches its servers have the mark
// model.LinkMark ([Way]).
//
// Start reading at [Firewall.Run], then facts.go.
package firewall
