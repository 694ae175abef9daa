// Package chance makes random firewalls, fleets and packets for tests: the same
// ones for the same seed. Its world is small, so that rules and packets meet:
// some forty addresses, ten ports, three pools of nodes.
//
// Start reading at [Chance.World].
package chance
