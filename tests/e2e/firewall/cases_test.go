package firewall

// ruling is what kubectl applies, and packets with what becomes of each.
type ruling struct{ name, manifest, packets string }

// everything is each way in and out; without firewalls all of it passes, but for
// load balancers that are not for everybody.
const everything = `
	stranger    tcp server:9200   passes
	stranger    udp server:9200   passes
	stranger    tcp server:9100   passes
	stranger    tcp server:30080  passes
	stranger    udp server:30053  passes
	stranger    tcp server:8081   passes
	stranger    tcp server:8443   passes
	friend      tcp server:8444   passes
	lan         tcp edge1:9200    passes
	lan         udp edge1:9200    passes
	lan         tcp edge1:9100    passes
	lan         tcp edge1:30080   passes
	lan         udp edge1:30053   passes
	lan         tcp edge1:8081    passes
	lan         tcp edge1:8443    passes
	lan         tcp edge1:8444    passes
	edge1       tcp server:9200   passes
	edge1       tcp stranger:7000 passes
	edge1       udp stranger:7000 passes
	net@edge1   tcp stranger:7000 passes
	pod@edge1   tcp stranger:7000 passes
	pod@server  tcp stranger:7000 passes
	pod@edge1   tcp edge1:9200    passes
`

var rulings = []ruling{
	{"ingress is denied", `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: closed}
spec:
  ingress: {default: deny}
`, `
	stranger    tcp server:9200   dropped
	stranger    udp server:9200   dropped
	stranger    tcp server:9100   dropped
	stranger    tcp server:30080  dropped
	stranger    udp server:30053  dropped
	stranger    tcp server:8081   dropped
	stranger    tcp server:8443   passes
	friend      tcp server:8443   passes
	friend      tcp server:8444   passes
	stranger    tcp server:8444   dropped
	friend      tcp server:30080  dropped
	stranger    tcp server:6443   passes
	stranger    tcp server:10250  dropped
	lan         tcp edge1:9200    dropped
	lan         udp edge1:9200    dropped
	lan         tcp edge1:9100    dropped
	lan         tcp edge1:30080   dropped
	lan         udp edge1:30053   dropped
	lan         tcp edge1:8081    dropped
	lan         tcp edge1:8443    passes
	lan         tcp edge1:8444    passes
	edge1       tcp server:9200   dropped
	edge1       tcp stranger:7000 passes
	net@edge1   udp stranger:7000 passes
	pod@edge1   tcp stranger:7000 passes
	pod@edge1   tcp edge1:9200    dropped
	pod@edge1   tcp edge1:30080   dropped
	edge1       tcp edge1:9200    passes
	net@edge1   tcp edge1:30080   passes
`},
	{"ingress is rejected", `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: refusing}
spec:
  ingress:
    default: reject
    rules:
    - {name: fleet, action: allow, peers: [{cluster: true}]}
`, `
	stranger    tcp server:9200   refused
	stranger    udp server:9200   refused
	stranger    tcp server:9100   refused
	stranger    tcp server:30080  refused
	stranger    tcp server:8081   refused
	stranger    tcp server:8443   passes
	friend      tcp server:8444   passes
	# kube-proxy drops those who are not in loadBalancerSourceRanges, before we answer
	stranger    tcp server:8444   dropped
	lan         tcp edge1:9200    refused
	lan         tcp edge1:9100    refused
	lan         tcp edge1:30080   refused
	lan         tcp edge1:8081    refused
	lan         tcp edge1:8443    passes
	edge1       tcp server:9200   passes
	pod@edge1   tcp edge1:9200    passes
	pod@edge1   tcp server:9200   passes
	pod@server  tcp server:9100   passes
`},
	{"ports by number, peers by address and set", `
apiVersion: edge.kedge.io/v1alpha1
kind: AddressSet
metadata: {name: members}
spec: {addresses: [FRIEND, 192.168.1.0/24]}
---
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: ports}
spec:
  ingress:
    rules:
    - {name: node-port, action: allow, protocol: tcp, ports: [30080], peers: [{addressSet: members}]}
    - {name: node-ports-tcp, action: reject, protocol: tcp, ports: ["30000-32767"]}
    - {name: node-ports-udp, action: reject, protocol: udp, ports: ["30000-32767"]}
    - {name: host-port, action: deny, protocol: tcp, ports: [8081], peers: [{cidr: 0.0.0.0/0, except: [FRIEND/32]}]}
    - {name: host-network, action: allow, protocol: tcp, ports: [9100], peers: [{cidr: STRANGER/32}]}
    - {name: no-host-network, action: reject, protocol: tcp, ports: [9100], log: true}
    - {name: process, action: deny, protocol: udp, ports: [9200]}
    - {name: target, action: deny, protocol: tcp, ports: [8080]}
`, `
	friend      tcp server:30080  passes
	stranger    tcp server:30080  refused
	stranger    udp server:30053  refused
	friend      udp server:30053  refused
	friend      tcp server:8081   passes
	stranger    tcp server:8081   dropped
	stranger    tcp server:9100   passes
	friend      tcp server:9100   refused
	stranger    udp server:9200   dropped
	stranger    tcp server:9200   passes
	stranger    tcp server:8443   passes
	lan         tcp edge1:30080   passes
	lan         udp edge1:30053   refused
	lan         tcp edge1:8081    dropped
	lan         tcp edge1:9100    refused
	lan         udp edge1:9200    dropped
	lan         tcp edge1:9200    passes
`},
	{"egress of one node is denied", `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: inside}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: edge1}}
  egress: {default: deny}
`, `
	edge1       tcp stranger:7000 dropped
	edge1       udp stranger:7000 dropped
	net@edge1   tcp stranger:7000 dropped
	net@edge1   udp stranger:7000 dropped
	edge1       tcp server:9200   dropped
	edge1       tcp edge1:9200    passes
	pod@edge1   tcp stranger:7000 passes
	pod@edge1   udp stranger:7000 passes
	pod@edge1   tcp edge1:9200    passes
	lan         tcp edge1:9200    passes
	lan         tcp edge1:30080   passes
	lan         tcp edge1:8081    passes
	server      tcp stranger:7000 passes
	net@server  udp stranger:7000 passes
`},
	{"egress is rejected but to some", `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: outgoing}
spec:
  egress:
    default: reject
    rules:
    - {name: friends, action: allow, protocol: tcp, peers: [{addressSet: members}]}
    - {name: fleet, action: allow, peers: [{cluster: true}]}
`, `
	edge1       tcp friend:7000   passes
	edge1       udp friend:7000   refused
	edge1       tcp stranger:7000 refused
	net@edge1   tcp friend:7000   passes
	net@edge1   tcp stranger:7000 refused
	edge1       tcp server:9200   passes
	server      tcp stranger:7000 refused
	server      tcp friend:7000   passes
	net@server  tcp stranger:7000 refused
	pod@server  tcp stranger:7000 passes
	pod@edge1   tcp stranger:7000 passes
	stranger    tcp server:30080  passes
	lan         udp edge1:30053   passes
`},
	{"several firewalls", `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: first}
spec:
  priority: 100
  ingress:
    rules:
    - {name: friend, action: allow, protocol: tcp, ports: [30080, 9200], peers: [{cidr: FRIEND/32}]}
---
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: second}
spec:
  priority: 200
  ingress: {default: reject, rules: [{name: tcp, action: deny, protocol: tcp, ports: [9200]}, {name: udp, action: deny, protocol: udp, ports: [9200]}]}
---
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: third}
spec:
  priority: 300
  ingress: {default: allow}
`, `
	friend      tcp server:30080  passes
	friend      tcp server:9200   passes
	friend      udp server:9200   dropped
	stranger    tcp server:9200   dropped
	stranger    tcp server:30080  refused
	friend      tcp server:9100   refused
	lan         tcp edge1:9200    dropped
	lan         tcp edge1:9100    refused
`},
}
