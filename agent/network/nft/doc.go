// Package nft speaks to the nft program for the parts of an agent that own a
// whole nftables table. A table is always replaced in one transaction, so the
// kernel holds the old or the new ruleset and never half of one; tables of
// other owners are never named in a script.
//
// The program is used rather than netlink because kube-proxy needs it on every
// node anyway, and because its text is what people compare and debug.
package nft
