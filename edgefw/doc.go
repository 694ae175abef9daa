// Package edgefw is the controller loop of the edge firewall on a node: it takes
// rulesets from a server's stream, puts together what is to be enforced, has it
// applied, proves that the node still reaches its server, and goes back to what
// was proven last where it does not.
//
// # States
//
// What is enforced is either proven or on trial. A trial ends within
// [ProofLimit]: with a fresh connection to the server, or with the last proven
// rules in force again. Then the proof is tried once more. If it succeeds now, the
// rules were the reason: they are refused, by hash, until other ones have been
// proven, and everything else of later revisions (sets, rules of pods, ports of
// load balancers) is enforced together with the former rules. If it fails as well,
// the rules were not the reason: undecided, and tried again when the link is back.
// See judge.go, which decides this and does nothing else.
//
// # Invariants
//
// The kernel has one whole revision at any time, with or without this process.
// What is on disk was proven. A pod's rules are in force before its first packet,
// and a pod that the server has not named yet in a namespace with policies is cut
// off until it has. Nothing here waits for a server.
//
// Start reading at [Loop.Run], then judge.go and compose.go.
package edgefw
