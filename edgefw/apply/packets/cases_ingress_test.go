//go:build namespace

package packets

import "github.com/kedge-io/kedge/edgefw/model"

// everything is one packet for each way that others try; under no rules all of
// them are answered.
const everything = `
	stranger tcp  host:80      host
	stranger udp  host:53      host
	stranger icmp host         host
	stranger tcp  host:9100    host
	stranger tcp4 host:30080   pod
	stranger udp4 host:30053   pod
	stranger tcp4 host:8081    pod
	stranger tcp4 host:8443    pod
	stranger tcp4 service:80   pod
	stranger tcp4 pod:8080     pod
	stranger tcp  host:9090    docker
	stranger udp  host:9053    docker
	stranger tcp  docker:80    docker
	stranger tcp  host:6443    host
	pod      tcp4 host:80      host
	pod      tcp4 gateway:80   host
	pod      tcp4 dns:53       host
	pod      udp4 dns:53       host
	pod      tcp4 api:443      host
	pod      tcp4 stranger:80  outside
	pod      icmp4 stranger    outside
	docker   tcp  host:80      host
	docker   tcp  bridge:80    host
	docker   tcp  stranger:80  outside
	node     tcp  host:80      host
	node     tcp  loopback:80  host
	node     icmp loopback     host
	node     tcp  stranger:80  outside
	node     udp  stranger:53  outside
	node     icmp stranger     outside
	node     tcp4 pod:8080     pod
	node     tcp4 service:80   pod
	node     tcp4 host:30080   pod
	node     tcp  docker:80    docker
`

// open is the ruling of a node that no firewall selects.
var open = ruling{name: "no firewall", packets: everything}

var rulings = concat(
	[]ruling{open},
	defaultRulings, matchRulings, peerRulings, orderRulings, portRulings, serverRulings, egressRulings,
)

func concat(lists ...[]ruling) []ruling {
	var all []ruling
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// defaultRulings have no rules of people: what is implied, and what is not the
// host's traffic at all.
var defaultRulings = []ruling{
	{name: "ingress is allowed", firewalls: ingress(model.Allow), packets: everything},
	{name: "ingress is denied", firewalls: ingress(model.Deny), packets: `
		stranger tcp  host:80      dropped
		stranger udp  host:53      dropped
		stranger icmp host         dropped
		friend   tcp  host:443     dropped
		peer     tcp  host:80      dropped
		server   tcp  host:80      dropped
		# a pod in the host's network, node ports, host ports, a load balancer, Docker
		stranger tcp  host:9100    dropped
		stranger tcp4 host:30080   dropped
		stranger udp4 host:30053   dropped
		stranger tcp4 host:8081    dropped
		stranger tcp4 host:8443    dropped
		stranger tcp4 service:80   dropped
		stranger tcp  host:9090    dropped
		stranger udp  host:9053    dropped
		# by addresses of the host that are meant for others
		stranger tcp4 gateway:80   dropped
		stranger tcp4 dns:53       dropped
		stranger udp4 dns:53       dropped
		stranger tcp4 api:443      dropped
		# what the host forwards is not its own
		stranger tcp4 pod:8080     pod
		stranger tcp  docker:80    docker
		pod      tcp4 stranger:80  outside
		pod      udp4 stranger:53  outside
		pod      icmp4 stranger    outside
		docker   tcp  stranger:80  outside
		# pods have names and the API, and nothing else
		pod      udp4 dns:53       host
		pod      tcp4 dns:53       host
		pod      tcp4 api:443      host
		pod      tcp4 api:6443     host
		pod      tcp4 dns:80       dropped
		pod      tcp4 api:80       dropped
		pod      tcp4 host:80      dropped
		pod      tcp4 gateway:22   dropped
		pod      icmp4 gateway     dropped
		pod      tcp4 host:30080   dropped
		docker   tcp  host:80      dropped
		docker   tcp  bridge:80    dropped
		docker   udp4 dns:53       dropped
		# the host itself
		node     tcp  host:80      host
		node     tcp  loopback:80  host
		node     udp  loopback:53  host
		node     icmp host         host
		node     tcp  stranger:80  outside
		node     udp  stranger:53  outside
		node     icmp stranger     outside
		node     tcp4 pod:8080     pod
		node     tcp4 service:80   pod
		# implied
		admin    tcp  host:22      host
		admin    tcp  host:80      dropped
		admin    udp  host:53      dropped
		stranger tcp  host:22      dropped
		stranger udp6 host:546     host
	`},
	{name: "ingress is rejected", firewalls: ingress(model.Reject), packets: `
		stranger tcp  host:80      refused
		stranger udp  host:53      refused
		stranger icmp host         refused
		stranger tcp  host:9100    refused
		stranger tcp4 host:30080   refused
		stranger udp4 host:30053   refused
		stranger tcp4 host:8081    refused
		stranger tcp4 host:8443    refused
		stranger tcp4 service:80   refused
		stranger tcp  host:9090    refused
		stranger udp  host:9053    refused
		pod      tcp4 host:80      refused
		pod      tcp4 host:30080   refused
		docker   tcp  host:80      refused
		pod      udp4 dns:53       host
		pod      tcp4 stranger:80  outside
		stranger tcp4 pod:8080     pod
		node     tcp  loopback:80  host
		node     tcp  stranger:80  outside
		admin    tcp  host:22      host
	`},
	{name: "a firewall for other nodes", firewalls: []model.Firewall{firewall("others",
		model.Firewall{Nodes: selector("pool=c"), Ingress: model.Section{Default: model.Deny}, Egress: model.Section{Default: model.Deny}})},
		packets: everything},
	{name: "a firewall for this node", firewalls: []model.Firewall{firewall("this",
		model.Firewall{Nodes: selector("pool in (a, c)"), Ingress: model.Section{Default: model.Deny}})}, packets: `
		stranger tcp  host:80      dropped
		stranger tcp4 host:30080   dropped
		node     tcp  stranger:80  outside
	`},
}

// matchRulings are about protocols and ports.
var matchRulings = []ruling{
	{name: "one port is allowed", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(80)}), packets: `
		stranger tcp  host:80      host
		stranger udp  host:80      dropped
		stranger tcp  host:443     dropped
		pod      tcp4 host:80      host
		pod      tcp4 gateway:80   host
		docker   tcp  host:80      host
		docker   tcp  bridge:80    host
		stranger tcp4 dns:80       host
	`},
	{name: "one port is denied", firewalls: ingress(model.Pass, rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(80)}), packets: `
		stranger tcp  host:80      dropped
		stranger udp  host:80      host
		stranger tcp  host:443     host
		stranger icmp host         host
		node     tcp  host:80      host
		stranger tcp  docker:80    docker
		node     tcp  stranger:80  outside
	`},
	{name: "one port is rejected", firewalls: ingress(model.Pass, rule{Action: model.Reject, Protocol: model.UDP, Ports: ports(53)}), packets: `
		stranger udp  host:53      refused
		stranger tcp  host:53      host
		stranger udp  host:80      host
		node     udp  stranger:53  outside
		pod      udp4 dns:53       host
		docker   udp4 dns:53       refused
	`},
	{name: "ports and ranges", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP,
		Ports: append(ports(22, 443), model.PortRange{First: 8000, Last: 8010})}), packets: `
		stranger tcp  host:22      host
		stranger tcp  host:443     host
		stranger tcp  host:8000    host
		stranger tcp  host:8005    host
		stranger tcp  host:8010    host
		stranger tcp  host:8011    dropped
		stranger tcp  host:80      dropped
		stranger udp  host:8005    dropped
	`},
	{name: "more ports than one match takes", firewalls: ingress(model.Reject, rule{Action: model.Allow, Protocol: model.TCP,
		Ports: append(ports(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 80, 2379),
			model.PortRange{First: 8000, Last: 8005}, model.PortRange{First: 9000, Last: 9100}, model.PortRange{First: 30000, Last: 32767})}), packets: `
		stranger tcp  host:80      host
		stranger tcp  host:2379    host
		stranger tcp  host:8005    host
		stranger tcp  host:9100    host
		stranger tcp4 host:30080   pod
		stranger tcp  host:9090    docker
		stranger tcp  host:22      refused
		stranger tcp  host:443     refused
		stranger tcp  host:8010    refused
		stranger udp4 host:30053   refused
	`},
	{name: "ports of any protocol", firewalls: ingress(model.Deny, rule{Action: model.Allow, Ports: ports(80, 8005)}), packets: `
		stranger tcp  host:80      host
		stranger udp  host:80      host
		stranger tcp  host:8005    host
		stranger udp  host:8005    host
		stranger tcp  host:443     dropped
		stranger udp  host:53      dropped
		stranger icmp host         dropped
	`},
	{name: "all of one protocol", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.UDP}), packets: `
		stranger udp  host:53      host
		stranger udp  host:8000    host
		stranger udp4 host:30053   pod
		stranger udp  host:9053    docker
		stranger tcp  host:80      dropped
		stranger icmp host         dropped
	`},
	{name: "pings", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.ICMP}), packets: `
		stranger icmp host         host
		pod      icmp4 gateway     host
		docker   icmp bridge       host
		stranger tcp  host:80      dropped
		stranger udp  host:53      dropped
	`},
	{name: "no pings", firewalls: ingress(model.Pass, rule{Action: model.Deny, Protocol: model.ICMP}), packets: `
		stranger icmp host         dropped
		pod      icmp4 host        dropped
		pod      icmp4 stranger    outside
		node     icmp stranger     outside
		node     icmp host         host
		stranger tcp  host:80      host
	`},
	{name: "pings are rejected", firewalls: ingress(model.Pass, rule{Action: model.Reject, Protocol: model.ICMP}), packets: `
		stranger icmp host         refused
		node     icmp stranger     outside
		stranger udp  host:53      host
	`},
}
