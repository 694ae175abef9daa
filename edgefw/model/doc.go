// Package model has the values of the edge firewall: what people wrote
// ([Firewall], [AddressSet]), the fleet that it is about ([Inventory]), what
// one node is to enforce ([Ruleset]), what it must never lose ([Facts]), and
// single packets and what becomes of them ([Packet], [Decision]). It is pure:
// values in, values out.
//
// Start reading at [Firewall] and [Ruleset].
package model
