// Program firewall measures edgefw/apply beside other ways to tell the kernel the
// same: rule by rule with go-iptables, one iptables-restore, nft -f. Each lets a
// number of prefixes in to one port and nobody else. All happens in network
// namespaces of its own (root).
//
// Run it by scripts/bench-firewall; docs/benchmarks.md has the tables.
package main
