//go:build namespace

package packets

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
)

// except are friends without the banned one.
func except() []model.Peer {
	peers := cidrs(friends...)
	for i, family := range []int{4, 6} {
		a := of("banned", family)
		peers[i].Except = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
	}
	return peers
}

// peerRulings are about sources.
var peerRulings = []ruling{
	{name: "from CIDRs", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Peers: cidrs(friends...)}), packets: `
		friend   tcp  host:80      host
		banned   tcp  host:80      host
		friend   tcp4 host:30080   pod
		friend   tcp4 host:8443    pod
		friend   tcp  host:9090    docker
		friend   udp  host:53      dropped
		stranger tcp  host:80      dropped
		stranger tcp4 host:30080   dropped
		listed   tcp  host:80      dropped
	`},
	{name: "from CIDRs with exceptions", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: except()}), packets: `
		friend   tcp  host:80      host
		buddy    tcp  host:80      host
		friend   udp  host:53      host
		friend   icmp host         host
		banned   tcp  host:80      dropped
		banned   udp  host:53      dropped
		banned   icmp host         dropped
		banned   tcp4 host:30080   dropped
		stranger tcp  host:80      dropped
	`},
	{name: "not from CIDRs with exceptions", firewalls: ingress(model.Pass, rule{Action: model.Reject, Peers: except()}), packets: `
		friend   tcp  host:80      refused
		friend   udp  host:53      refused
		friend   tcp4 host:30080   refused
		banned   tcp  host:80      host
		stranger tcp  host:80      host
	`},
	{name: "from an AddressSet", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{AddressSet: "offices"})}), packets: `
		listed   tcp  host:80      host
		listed   udp  host:53      host
		listed   icmp host         host
		listed   tcp4 host:30080   pod
		listed   tcp4 service:80   pod
		friend   tcp  host:80      dropped
		stranger icmp host         dropped
	`},
	{name: "not from an AddressSet", firewalls: ingress(model.Pass, rule{Action: model.Deny, Peers: peer(model.Peer{AddressSet: "offices"})}), packets: `
		listed   tcp  host:80      dropped
		listed   tcp  host:9090    dropped
		stranger tcp  host:80      host
	`},
	{name: "from an AddressSet that is not there", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{AddressSet: "nowhere"})}), packets: `
		listed   tcp  host:80      dropped
		stranger tcp  host:80      dropped
	`},
	{name: "from nodes by their labels", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(2379),
		Peers: peer(model.Peer{Nodes: selector("pool=b")})}), packets: `
		peer     tcp  host:2379    host
		peer     tcp  host:80      dropped
		server   tcp  host:2379    dropped
		stranger tcp  host:2379    dropped
		pod      tcp4 host:2379    dropped
	`},
	{name: "from nodes of which there are none", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{Nodes: selector("pool=z")})}), packets: `
		peer     tcp  host:80      dropped
		stranger tcp  host:80      dropped
	`},
	{name: "from the cluster", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{Cluster: true})}), packets: `
		peer     tcp  host:80      host
		server   udp  host:53      host
		peer     icmp host         host
		pod      tcp4 host:80      host
		pod      icmp4 gateway     host
		peer     tcp4 host:30080   pod
		stranger tcp  host:80      dropped
		friend   tcp  host:80      dropped
		docker   tcp  host:80      dropped
	`},
	{name: "from servers", firewalls: ingress(model.Reject, rule{Action: model.Allow, Peers: peer(model.Peer{Servers: true})}), packets: `
		server   tcp  host:80      host
		server   udp  host:53      host
		peer     tcp  host:80      refused
		stranger tcp  host:80      refused
	`},
	{name: "from a name", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{DNS: "time.example.org"})}), packets: `
		named    tcp  host:80      host
		named    udp  host:53      host
		stranger tcp  host:80      dropped
	`},
	{name: "from a name that has no addresses yet", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{DNS: "new.example.org"})}), packets: `
		named    tcp  host:80      dropped
		stranger tcp  host:80      dropped
	`},
	{name: "from several kinds of peers", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(80, 443),
		Peers: append(except(), model.Peer{AddressSet: "offices"}, model.Peer{Nodes: selector("pool=b")}, model.Peer{DNS: "time.example.org"})}), packets: `
		friend   tcp  host:80      host
		listed   tcp  host:443     host
		peer     tcp  host:80      host
		named    tcp  host:443     host
		banned   tcp  host:80      dropped
		server   tcp  host:443     dropped
		friend   tcp  host:22      dropped
		stranger tcp  host:80      dropped
	`},
	{name: "from all of IPv4", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: cidrs(netip.MustParsePrefix("0.0.0.0/0"))}), packets: `
		stranger tcp4 host:80      host
		stranger tcp4 host:30080   pod
		stranger tcp6 host:80      dropped
		stranger icmp6 host        dropped
	`},
	{name: "from all of IPv6", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: cidrs(netip.MustParsePrefix("::/0"))}), packets: `
		stranger tcp4 host:80      dropped
		stranger tcp6 host:80      host
		stranger icmp6 host        host
	`},
	{name: "from everywhere in two families", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP,
		Peers: cidrs(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))}), packets: `
		stranger tcp  host:80      host
		stranger udp  host:80      dropped
	`},
	{name: "from everywhere but some", firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(
		model.Peer{CIDR: netip.MustParsePrefix("0.0.0.0/0"), Except: friends[:1]},
		model.Peer{CIDR: netip.MustParsePrefix("::/0"), Except: friends[1:]})}), packets: `
		stranger tcp  host:80      host
		friend   tcp  host:80      dropped
		banned   icmp host         dropped
	`},
}

// orderRulings are about what decides when several rules and firewalls match.
var orderRulings = []ruling{
	{name: "the first rule that matches decides", firewalls: ingress(model.Deny,
		rule{Action: model.Reject, Peers: one("banned")}, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(80), Peers: cidrs(friends...)},
		rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(80, 443)}, rule{Action: model.Allow, Protocol: model.TCP}), packets: `
		banned   tcp  host:80      refused
		banned   udp  host:53      refused
		friend   tcp  host:80      host
		friend   tcp  host:443     dropped
		stranger tcp  host:80      dropped
		stranger tcp  host:22      host
		stranger tcp4 host:30080   pod
		stranger udp  host:53      dropped
	`},
	{name: "the lower priority is asked first", firewalls: []model.Firewall{
		firewall("late", model.Firewall{Priority: 900, Ingress: model.Section{Default: model.Deny, Rules: []rule{{Action: model.Allow, Protocol: model.TCP, Ports: ports(80, 443)}}}}),
		firewall("early", model.Firewall{Priority: 100, Ingress: model.Section{Rules: []rule{{Action: model.Reject, Protocol: model.TCP, Ports: ports(443)}}}}),
	}, packets: `
		stranger tcp  host:80      host
		stranger tcp  host:443     refused
		stranger tcp  host:22      dropped
	`},
	{name: "the first default counts", firewalls: []model.Firewall{
		firewall("third", model.Firewall{Priority: 300, Ingress: model.Section{Default: model.Allow}}),
		firewall("second", model.Firewall{Priority: 200, Ingress: model.Section{Default: model.Reject}}),
		firewall("first", model.Firewall{Priority: 100, Ingress: model.Section{Rules: []rule{{Action: model.Deny, Protocol: model.UDP}}}}),
	}, packets: `
		stranger udp  host:53      dropped
		stranger tcp  host:80      refused
		stranger tcp4 host:30080   refused
	`},
	{name: "what is logged goes on", firewalls: ingress(model.Deny,
		rule{Action: model.Log}, rule{Action: model.Log, Protocol: model.TCP, Ports: ports(80)}, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(80), Log: true},
		rule{Action: model.Reject, Protocol: model.TCP, Ports: ports(443), Log: true}, rule{Action: model.Deny, Protocol: model.TCP, Log: true}), packets: `
		stranger tcp  host:80      host
		stranger tcp  host:443     refused
		stranger tcp  host:22      dropped
		stranger tcp4 host:30080   dropped
		stranger udp  host:53      dropped
		stranger icmp host         dropped
	`},
	{name: "logging decides nothing", firewalls: ingress(model.Pass, rule{Action: model.Log}), packets: everything},
}
