package dns

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/agent/loaddr"
	"github.com/kedge-io/kedge/agent/network/nft"
)

// label marks our address on lo.
const label = "lo:kedge"

var tableDNS = nft.Table{Family: "inet", Name: "kedge-dns"}

func claim(addr netip.Addr, from string) loaddr.Claim {
	return loaddr.Claim{What: "cluster DNS", Addr: addr, Label: label, From: from, Table: tableDNS, Rules: ruleset(addr)}
}

// ruleset is the body of table inet kedge-dns. kube-proxy's chains
// cluster-ips-check are reached by packets of "ct state new" only
// (pkg/proxy/nftables/proxier.go of Kubernetes 1.36); untracked packets are in
// none of the states. It also keeps the many short flows of DNS out of the
// connection table.
func ruleset(addr netip.Addr) string {
	const chain = `	chain %[1]s {
		type filter hook %[1]s priority raw; policy accept;
		ip daddr %[2]s meta l4proto { tcp, udp } th dport 53 notrack comment "%[1]s: queries to the cluster DNS"
		ip saddr %[2]s meta l4proto { tcp, udp } th sport 53 notrack comment "%[1]s: answers of the cluster DNS"
	}
`
	return fmt.Sprintf(chain, "prerouting", addr) + fmt.Sprintf(chain, "output", addr)
}

// RemoveAll takes away the cluster DNS address and the rules of this network
// namespace. It needs no running state, may be repeated, and goes on after an
// error.
func RemoveAll(ctx context.Context) error { return loaddr.Remove(ctx, label, tableDNS) }
