// Package firewall is the server's part of the edge firewall. It watches what
// people wrote and what the fleet is like, has one ruleset compiled and pushed
// to each node (edgefw/plan, edgefw/distribute), and says on each EdgeFirewall
// how far that has come.
//
// It owns where nodes come from ([Firewall.Admit], the annotation
// kedge.io/public-address), the gate of the server's listener
// ([Firewall.Gate]), and what the status socket answers about the whole fleet.
// It applies nothing: the server's own node is a node like all others.
//
// What must hold: an address is in the rules before the node that has it asks
// its first question, and gone as soon as the node is; whatever rules say, a
// machine reaches the paths of the supervisor.
//
// Start reading at [New], then inventory.go and input.go.
package firewall
