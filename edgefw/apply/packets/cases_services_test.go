//go:build namespace

package packets

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
)

// balanced is a service whose port 8443 the nodes open.
func balanced(sources []netip.Prefix, nodes ...string) []model.Balanced {
	return []model.Balanced{{Name: "shop/web", Ports: []model.BalancedPort{{Protocol: model.TCP, Port: 8443}}, Sources: sources, Nodes: nodes}}
}

// portRulings are about ports behind which address translation leads elsewhere:
// rules go by the port that the client used.
var portRulings = []ruling{
	{name: "a node port is allowed", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(30080), Peers: cidrs(friends...)}), packets: `
		friend   tcp4 host:30080   pod
		stranger tcp4 host:30080   dropped
		friend   tcp4 host:8443    dropped
		friend   tcp4 host:8081    dropped
		friend   udp4 host:30053   dropped
		pod      tcp4 host:30080   dropped
		node     tcp4 host:30080   pod
	`},
	{name: "a node port is denied", firewalls: ingress(model.Pass, rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(30080)},
		rule{Action: model.Reject, Protocol: model.UDP, Ports: ports(30053)}), packets: `
		stranger tcp4 host:30080   dropped
		stranger udp4 host:30053   refused
		pod      tcp4 host:30080   dropped
		stranger tcp4 host:8443    pod
		stranger tcp4 service:80   pod
		node     tcp4 host:30080   pod
	`},
	{name: "the port of the pod opens nothing", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(8080)},
		rule{Action: model.Allow, Protocol: model.UDP, Ports: ports(5353)}), packets: `
		stranger tcp4 host:30080   dropped
		stranger udp4 host:30053   dropped
		stranger tcp4 host:8081    dropped
		stranger tcp4 host:8443    dropped
		stranger tcp4 service:80   dropped
	`},
	{name: "the port of the pod closes nothing", firewalls: ingress(model.Pass, rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(8080)}), packets: `
		stranger tcp4 host:30080   pod
		stranger tcp4 host:8081    pod
		stranger tcp4 host:8443    pod
		stranger tcp4 pod:8080     pod
	`},
	{name: "host ports", firewalls: ingress(model.Pass, rule{Action: model.Reject, Protocol: model.TCP, Ports: ports(8081), Peers: cidrs(friends...)},
		rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(8081)}), packets: `
		friend   tcp4 host:8081    refused
		stranger tcp4 host:8081    dropped
		stranger tcp4 host:30080   pod
		node     tcp4 host:8081    pod
	`},
	{name: "a host port is allowed", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(8081)}), packets: `
		stranger tcp4 host:8081    pod
		stranger tcp4 host:30080   dropped
	`},
	{name: "services from outside", firewalls: ingress(model.Deny, rule{Action: model.Allow, Protocol: model.TCP, Ports: ports(80), Peers: cidrs(friends...)}), packets: `
		friend   tcp4 service:80   pod
		stranger tcp4 service:80   dropped
		node     tcp4 service:80   pod
		docker   tcp4 service:80   dropped
	`},
	{name: "published by Docker, denied", firewalls: ingress(model.Pass, rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(9090)},
		rule{Action: model.Reject, Protocol: model.UDP, Ports: ports(9053)}), packets: `
		stranger tcp  host:9090    dropped
		stranger udp  host:9053    refused
		stranger tcp  docker:80    docker
		stranger tcp  host:80      host
		docker   tcp  stranger:80  outside
	`},
	{name: "published by Docker, allowed", firewalls: ingress(model.Deny, rule{Action: model.Allow, Ports: ports(9090, 9053), Peers: cidrs(friends...)}), packets: `
		friend   tcp  host:9090    docker
		friend   udp  host:9053    docker
		stranger tcp  host:9090    dropped
		stranger udp  host:9053    dropped
		friend   tcp  host:80      dropped
	`},
	{name: "the port of the container opens nothing", firewalls: ingress(model.Deny, rule{Action: model.Allow, Ports: ports(80, 53)}), packets: `
		stranger tcp  host:9090    dropped
		stranger udp  host:9053    dropped
		stranger tcp  host:80      host
	`},
	{name: "a load balancer opens its port", firewalls: ingress(model.Deny), balanced: balanced(nil, "here"), packets: `
		stranger tcp4 host:8443    pod
		friend   tcp4 host:8443    pod
		stranger tcp4 host:30080   dropped
		stranger tcp  host:80      dropped
	`},
	{name: "a load balancer opens its port to its sources", firewalls: ingress(model.Reject), balanced: balanced(friends, "here"), packets: `
		friend   tcp4 host:8443    pod
		stranger tcp4 host:8443    refused
		friend   tcp4 host:30080   refused
	`},
	{name: "a load balancer of another node", firewalls: ingress(model.Deny), balanced: balanced(nil, "peer"), packets: `
		stranger tcp4 host:8443    dropped
	`},
	{name: "rules of people stand before load balancers", firewalls: ingress(model.Deny, rule{Action: model.Reject, Protocol: model.TCP, Ports: ports(8443), Peers: one("banned")}),
		balanced: balanced(friends, "here"), packets: `
		banned   tcp4 host:8443    refused
		friend   tcp4 host:8443    pod
		stranger tcp4 host:8443    dropped
	`},
}

// serverRulings are about the door of servers.
var serverRulings = []ruling{
	{name: "the door of a server", isServer: true, facts: func(f *model.Facts) { f.Door = 6443 }, firewalls: ingress(model.Deny), packets: `
		stranger tcp  host:6443    host
		peer     tcp  host:6443    host
		pod      tcp4 host:6443    host
		stranger tcp  host:443     dropped
		stranger tcp  host:22      dropped
	`},
	{name: "no rule closes the door", isServer: true, facts: func(f *model.Facts) { f.Door = 6443 },
		firewalls: ingress(model.Pass, rule{Action: model.Deny, Protocol: model.TCP, Ports: ports(6443)}), packets: `
		stranger tcp  host:6443    host
		peer     tcp  host:6443    host
	`},
	{name: "only servers have a door", firewalls: ingress(model.Deny), packets: `
		stranger tcp  host:6443    dropped
		peer     tcp  host:6443    dropped
	`},
}
