package network

import (
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/agent/network/nft"
)

var tableNet = nft.Table{Family: "inet", Name: "kedge-net"}

// ruleset is the body of table inet kedge-net. Every rule has its own comment,
// by which the ruleset is recognised when it is read back.
func ruleset(pods, cluster netip.Prefix) string {
	return fmt.Sprintf(`	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr %s ip daddr != { %s, 224.0.0.0/4 } masquerade fully-random comment "pods leave the cluster with the address of the node"
	}
	chain output {
		type filter hook output priority filter; policy accept;
		oifname "%s" icmp type redirect drop comment "pods of one node reach each other through the host"
	}
`, pods, cluster, BridgeName)
}
