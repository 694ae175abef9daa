// Package ipset makes, fills, compares and swaps the kernel's sets of addresses
// (ipset), by netlink and without the program ipset. Many entries travel in one
// message: one message for each entry costs ten times as much.
//
// It knows sets by their names only; which of them are whose is decided above.
// A [Handle] works in the network namespace of the thread that opened it, and can
// be used by several goroutines. Start reading at [Open].
package ipset
