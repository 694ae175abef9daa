// Package loaddr gives the link lo an address of the service range, at which
// the node itself answers for pods and for the host.
//
// kube-proxy must not touch such an address. In its nftables mode it rewrites
// connections to the services it knows and rejects new ones to addresses that
// it does not know; both look at tracked packets only. The packets of a
// [Claim] are therefore exempt from connection tracking, by rules in a table of
// the claim's own.
//
// Address and table stay when the process ends, are adopted at the next start,
// and [Remove] takes them away without running state. Start reading at
// [Claim.Ensure].
package loaddr
