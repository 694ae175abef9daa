//go:build namespace

package packets

import "github.com/kedge-io/kedge/edgefw/model"

// egressRulings are about what the node sends.
var egressRulings = []ruling{
	{name: "egress is allowed", firewalls: egress(model.Allow), packets: everything},
	{name: "egress is denied", firewalls: egress(model.Deny), packets: `
		node     tcp  stranger:80  dropped
		node     udp  stranger:53  dropped
		node     icmp stranger     dropped
		node     tcp  peer:443     dropped
		node     tcp4 service:80   dropped
		node     tcp  docker:80    dropped
		# implied: the link, names and time as configured
		node+link tcp stranger:80  outside
		node+link tcp server:443   outside
		node     tcp  server:6443  outside
		node     tcp  server:443   dropped
		node     udp  resolver:53  outside
		node     tcp  resolver:53  outside
		node     tcp  resolver:80  dropped
		node     udp  resolver:123 dropped
		node     udp  clock:123    outside
		node     tcp  clock:53     dropped
		# the host itself, and its pods
		node     tcp  loopback:80  host
		node     tcp  host:80      host
		node     udp  loopback:53  host
		node     icmp host         host
		node     tcp4 pod:8080     pod
		node     tcp4 gateway:80   host
		# its own ports, whatever answers behind them
		node     tcp4 host:30080   pod
		node     udp4 host:30053   pod
		node     tcp4 host:8081    pod
		# answers, and what is not its own
		stranger tcp  host:80      host
		stranger udp  host:53      host
		stranger icmp host         host
		stranger tcp4 host:30080   pod
		stranger tcp  host:9090    docker
		pod      tcp4 host:80      host
		pod      udp4 dns:53       host
		pod      tcp4 stranger:80  outside
		pod      udp4 stranger:53  outside
		docker   tcp  stranger:80  outside
		docker   tcp  host:80      host
	`},
	{name: "egress is rejected", firewalls: egress(model.Reject), packets: `
		node     tcp  stranger:80  refused
		node     udp  stranger:53  refused
		node     tcp4 service:80   refused
		node     tcp  docker:80    refused
		node+link tcp stranger:80  outside
		node     tcp  server:6443  outside
		node     udp  resolver:53  outside
		node     tcp4 pod:8080     pod
		node     tcp  loopback:80  host
		pod      tcp4 stranger:80  outside
		stranger tcp  host:80      host
	`},
	{name: "to one port", firewalls: egress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(443)}), packets: `
		node     tcp  stranger:443 outside
		node     tcp  stranger:80  dropped
		node     udp  stranger:53  dropped
		node     icmp stranger     dropped
	`},
	{name: "not to one port", firewalls: egress(model.Pass, rule{Action: model.Reject, Protocol: model.TCP, Ports: ports(22)},
		rule{Action: model.Deny, Protocol: model.UDP, Ports: []model.PortRange{{First: 100, Last: 9000}}}), packets: `
		node     tcp  stranger:22  refused
		node     tcp  stranger:80  outside
		node     udp  stranger:123 dropped
		node     udp  stranger:8000 dropped
		node     udp  stranger:53  outside
		node     udp  clock:123    outside
		node     icmp stranger     outside
		pod      tcp4 stranger:22  outside
	`},
	{name: "to CIDRs with exceptions", firewalls: egress(model.Deny, rule{Action: model.Allow, Peers: except()}), packets: `
		node     tcp  friend:80    outside
		node     udp  friend:53    outside
		node     icmp buddy        outside
		node     tcp  banned:80    dropped
		node     icmp banned       dropped
		node     tcp  stranger:80  dropped
	`},
	{name: "to an AddressSet", firewalls: egress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Peers: peer(model.Peer{AddressSet: "offices"})}), packets: `
		node     tcp  listed:80    outside
		node     udp  listed:53    dropped
		node     tcp  stranger:80  dropped
	`},
	{name: "not to an AddressSet", firewalls: egress(model.Pass, rule{Action: model.Reject, Peers: peer(model.Peer{AddressSet: "offices"})}), packets: `
		node     tcp  listed:80    refused
		node     udp  listed:53    refused
		node     tcp  stranger:80  outside
		node+link tcp listed:80    outside
	`},
	{name: "to nodes by their labels", firewalls: egress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{Nodes: selector("pool=b")})}), packets: `
		node     tcp  peer:80      outside
		node     icmp peer         outside
		node     tcp  server:443   dropped
	`},
	{name: "to the cluster", firewalls: egress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{Cluster: true})}), packets: `
		node     tcp  peer:80      outside
		node     tcp  server:443   outside
		node     tcp4 service:80   pod
		node     tcp4 pod:8080     pod
		node     tcp  stranger:80  dropped
	`},
	{name: "to servers", firewalls: egress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(443), Peers: peer(model.Peer{Servers: true})}), packets: `
		node     tcp  server:443   outside
		node     tcp  server:80    dropped
		node     tcp  peer:443     dropped
	`},
	{name: "to a name", firewalls: egress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(443), Peers: peer(model.Peer{DNS: "time.example.org"})}), packets: `
		node     tcp  named:443    outside
		node     tcp  named:80     dropped
		node     tcp  stranger:443 dropped
	`},
	{name: "the port of a service is its own", firewalls: egress(model.Pass, rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(80)}), packets: `
		node     tcp4 service:80   dropped
		node     tcp4 pod:8080     pod
		node     tcp4 host:30080   pod
		node     tcp  stranger:443 outside
	`},
	{name: "logged on the way out", firewalls: egress(model.Deny, rule{Action: model.Log}, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(443), Log: true}), packets: `
		node     tcp  stranger:443 outside
		node     tcp  stranger:80  dropped
		node     udp  stranger:53  dropped
	`},
	{name: "both directions are denied", firewalls: concatFirewalls(ingress(model.Deny), egress(model.Deny)), packets: `
		stranger tcp  host:80      dropped
		stranger tcp4 host:30080   dropped
		node     tcp  stranger:80  dropped
		node+link tcp stranger:80  outside
		node     tcp  server:6443  outside
		node     udp  resolver:53  outside
		node     udp  clock:123    outside
		admin    tcp  host:22      host
		pod      udp4 dns:53       host
		pod      tcp4 api:443      host
		node     tcp4 pod:8080     pod
		node     tcp  loopback:80  host
		pod      tcp4 stranger:80  outside
		stranger tcp4 pod:8080     pod
	`},
}

func concatFirewalls(lists ...[]model.Firewall) []model.Firewall {
	var all []model.Firewall
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
