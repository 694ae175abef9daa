// Package apply brings the kernel to what a node is to enforce: chains of
// iptables and ip6tables in table mangle, sets of addresses, and in table filter
// the answers to what was refused.
//
// What is there is read from the kernel when a [Kernel] begins and whenever it may
// have changed; there are no files. A whole revision of one family becomes the
// present one in one transaction of iptables-restore: its chains are built beside
// those of the former (generations A and B), and the jumps that lead to a
// generation are in the same transaction. A change of one set is made in the set
// itself, by one message or a swap, if that is one step for packets. So a process
// that is killed anywhere leaves each family at a whole revision; what it leaves
// beside that is swept by the next [Kernel.Apply], [Kernel.Remove] needs nothing
// but the kernel.
//
// Ours are chains that begin with KEDGE-FW-, jumps to them, and sets that begin
// with kfw. Nothing else is changed. All calls work in the network namespace in
// which the process runs: they start programs and goroutines.
//
// Start reading at [Kernel.Apply]; the text is that of render, sets are those of
// ipset. docs/adr/0024-firewall-in-the-kernel.md has the reasons.
package apply
