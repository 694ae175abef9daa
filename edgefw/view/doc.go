// Package view has what nodes and servers tell people of the edge firewall: the
// values that kedge firewall shows, and where they are asked for. It is pure.
//
// Start reading at [Node].
package view
