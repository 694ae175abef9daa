package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/agent/network/nft"
)

var tableNet = nft.Table{Family: "inet", Name: "kedge-net"}

// ruleset is the body of table inet kedge-net. Every rule has its own comment,
// by which the ruleset is recognised when it is read back.
func ruleset(pods, cluster netip.Prefix, ports []HostPort) string {
	return fmt.Sprintf(rulesetText, hostPortElements(ports), RelayName, BridgeName, pods, cluster, pods.Addr().Next(), masqueradeMark)
}

// masqueradeMark is the bit by which kube-proxy's nftables mode asks for
// masquerading (--nftables-masquerade-bit, 14 by default).
const masqueradeMark = 1 << 14

// The chains in the order in which a packet meets them:
//
//   - relayed, before connection tracking: a peer, or a server that was taken
//     over, cannot use this node as a router into its site.
//   - input: other sites reach of this host what its pods offer, and not ssh.
//   - postrouting runs before kube-proxy's chain of the same hook, and the first
//     translation wins. Towards other nodes a source is always one of this
//     node's range: the relay lets no other pass, and a connection goes on when
//     its path changes between relay and site.
//
// Verbs: 1 elements of the set, 2 relay, 3 bridge, 4 pods, 5 cluster, 6 own
// cluster address, 7 kube-proxy's mark.
const rulesetText = `	set host_ports {
		type inet_proto . inet_service
%[1]s	}
	chain relayed {
		type filter hook prerouting priority raw; policy accept;
		iifname != "%[2]s" accept comment "not from the relay"
		ip saddr %[5]s ip saddr != %[4]s ip daddr %[4]s accept comment "the relay carries packets of other nodes for this one"
		counter drop comment "nothing else comes from the relay"
	}
	chain input {
		type filter hook input priority filter; policy accept;
		iifname != "%[2]s" accept comment "not from another site"
		ct state established,related accept comment "answers to this host"
		icmp type echo-request accept comment "ping"
		ct status dnat accept comment "services and host ports"
		meta l4proto . th dport @host_ports accept comment "ports that pods in the network of the host declare"
		counter drop comment "other sites reach nothing else of this host"
	}
	chain postrouting {
		type nat hook postrouting priority srcnat - 1; policy accept;
		ip daddr %[5]s ip daddr != %[4]s ip saddr != %[5]s snat ip to %[6]s fully-random comment "what others send through this node has its cluster address"
		ip daddr %[5]s ip daddr != %[4]s meta mark & 0x%08[7]x == 0x%08[7]x snat ip to %[6]s fully-random comment "so has what kube-proxy masquerades"
		ip saddr %[4]s ip daddr != { %[5]s, 224.0.0.0/4 } masquerade fully-random comment "pods leave the cluster with the address of the node"
	}
	chain output {
		type filter hook output priority filter; policy accept;
		oifname { "%[3]s", "%[2]s" } icmp type redirect drop comment "the host is the only way between pods"
	}
`

// maxHostPorts bounds the set; nobody declares so many, and a node must not
// spend its memory on a pod that does.
const maxHostPorts = 4096

// hostPortElements is the line with the elements of the set, sorted and without
// repetitions, or nothing.
func hostPortElements(ports []HostPort) string {
	ports = slices.DeleteFunc(slices.Clone(ports), func(p HostPort) bool {
		return p.Port == 0 || !slices.Contains([]string{"tcp", "udp", "sctp"}, p.Protocol)
	})
	slices.SortFunc(ports, func(a, b HostPort) int {
		return cmp.Or(strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	ports = slices.Compact(ports)
	ports = ports[:min(len(ports), maxHostPorts)]
	if len(ports) == 0 {
		return ""
	}
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprintf("%s . %d", p.Protocol, p.Port)
	}
	return "\t\telements = { " + strings.Join(words, ", ") + " }\n"
}
