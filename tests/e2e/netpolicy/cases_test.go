package netpolicy

// step is what is written, one policy per line as "NAMESPACE: SPEC", which labels are set first
// ("OBJECT KEY=VALUE"), and what then passes and what does not.
type step struct {
	policies string
	labels   []string
	yes, no  string
}

// aCase is a case of one or several steps.
type aCase struct {
	name  string
	steps []step
}

func one(name, policies, yes, no string) aCase {
	return aCase{name, []step{{policies: policies, yes: yes, no: no}}}
}

// all is what passes without any policy.
const all = "x/a > x/b:8080, x/a > x/c:8080, x/a > x/c:8081, x/a > v/a:8080/udp, v/b > x/a:8080, z/a > x/b:8081, x/b > z/a:8080, x/a > out:8080, " +
	"x/a > dns:a.x, x/a > svc.v/a:80, x/a > api:443, out > np.z/a@out:80, x/a > x/b:0/ping, host.edge1 > x/a:8080, host.server > x/a:8080"

const (
	denyIn  = "x: podSelector: {}\n"
	denyOut = "x: podSelector: {}, policyTypes: [Egress]\n"
	dnsOnly = "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}]\n"
)

var ingressCases = []aCase{
	one("no policy", "", all, ""),
	one("default deny ingress", denyIn,
		"x/a > v/a:8080, x/a > out:8080, x/a > dns:a.x, v/a > v/b:8080, v/a > z/a:8080",
		"x/a > x/b:8080, x/a > x/c:8080, v/a > x/a:8080, v/b > x/a:8080/udp, z/a > x/b:8081, v/b > x/c:0/ping"),
	one("a node reaches its own pods, others do not", denyIn, "host.edge1 > x/a:8080, host.edge2 > x/b:8080", "host.edge2 > x/a:8080, host.server > x/b:8080"),
	one("policies of one namespace are not about another", denyIn, "x/a > v/b:8080, z/a > v/a:8081, v/a > v/b:8081/udp", "v/a > x/b:8080"),
	one("allow all beside deny", denyIn+"x: podSelector: {}, ingress: [{}]", all, ""),
	one("only selected pods", "x: podSelector: {matchLabels: {pod: a}}", "x/a > x/c:8080, v/a > x/b:8080, v/b > x/c:8081", "x/c > x/a:8080, v/a > x/a:8080, x/b > x/a:8081/udp"),
	one("expressions", "x: podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}", "v/a > x/c:8080", "v/a > x/a:8080, v/b > x/b:8080"),
	one("not in", "x: podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a, b]}]}", "v/a > x/a:8080, v/b > x/b:8080", "v/a > x/c:8080, x/a > x/c:8080"),
	one("exists", "x: podSelector: {matchExpressions: [{key: app, operator: Exists}, {key: none, operator: DoesNotExist}]}", "x/a > v/a:8080", "v/a > x/a:8080, v/a > x/b:8080"),
	one("pods of the own namespace", "x: podSelector: {}, ingress: [{from: [{podSelector: {}}]}]",
		"x/a > x/b:8080, x/b > x/a:8081, x/c > x/a:8080/udp, x/a > x/c:0/ping", "v/a > x/a:8080, v/b > x/b:8081, z/a > x/c:8080"),
	one("one pod of the own namespace", "x: podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]",
		"x/b > x/a:8080, x/b > x/a:8081/udp, v/b > x/b:8080", "v/b > x/a:8080, x/c > x/a:8080, z/a > x/a:8080"),
	one("a namespace", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}]}]",
		"v/a > x/a:8080, v/b > x/a:8080, v/b > x/b:8081", "z/a > x/a:8080, x/b > x/a:8080, x/c > x/a:8080"),
	one("all namespaces", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]",
		"v/a > x/a:8080, x/c > x/a:8080, z/a > x/b:8080, host.edge1 > x/a:8080", "host.edge2 > x/a:8080, host.server > x/a:8080"),
	one("namespaces by their name", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}]",
		"z/a > x/a:8080, z/a > x/b:8080", "v/a > x/a:8080, x/b > x/a:8080"),
	one("namespaces by expression", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [v]}]}}]}]",
		"z/a > x/a:8080, x/b > x/a:8080", "v/a > x/a:8080, v/b > x/c:8080"),
	one("both selectors in one peer", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}, podSelector: {matchLabels: {pod: b}}}]}]",
		"v/b > x/a:8080, v/b > x/b:8080", "v/a > x/a:8080, x/b > x/a:8080, z/a > x/a:8080"),
	one("the selectors in two peers", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}, {podSelector: {matchLabels: {pod: b}}}]}]",
		"v/a > x/a:8080, v/b > x/a:8080, x/b > x/a:8080", "x/c > x/a:8080, z/a > x/a:8080"),
	one("a port", "x: podSelector: {}, ingress: [{ports: [{port: 8080}]}]",
		"v/a > x/a:8080, x/c > x/a:8080, z/a > x/b:8080", "v/a > x/a:8081, v/b > x/a:8080/udp, v/b > x/c:0/ping"),
	one("a port of UDP", "x: podSelector: {}, ingress: [{ports: [{port: 8081, protocol: UDP}]}]",
		"v/a > x/a:8081/udp, x/c > x/a:8081/udp", "v/a > x/a:8081, v/a > x/a:8080/udp, x/c > x/a:8080"),
	one("a protocol", "x: podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]", "v/a > x/a:8080/udp, v/b > x/a:8081/udp", "v/a > x/a:8080, v/b > x/c:0/ping"),
	one("two ports", "x: podSelector: {}, ingress: [{ports: [{port: 8080}, {port: 8081, protocol: UDP}]}]", "v/a > x/a:8080, v/b > x/a:8081/udp", "v/a > x/a:8081, v/b > x/a:8080/udp"),
	one("a range of ports", "x: podSelector: {}, ingress: [{ports: [{port: 8081, endPort: 9000}]}]", "v/a > x/a:8081, v/b > x/b:8081", "v/a > x/a:8080, v/b > x/a:8081/udp"),
	one("a range that ends before", "x: podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 8080}, {port: 1, endPort: 8080, protocol: UDP}]}]", "v/a > x/a:8080, v/b > x/a:8080/udp", "v/a > x/a:8081, v/b > x/a:8081/udp"),
	one("port and peer", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: 8080}]}]",
		"v/a > x/a:8080, v/b > x/b:8080", "v/a > x/a:8081, z/a > x/a:8080, x/b > x/a:8080"),
	one("two rules", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: 8080}]}, {from: [{podSelector: {}}], ports: [{port: 8081}]}]",
		"v/a > x/a:8080, x/b > x/a:8081", "v/a > x/a:8081, x/b > x/a:8080"),
	one("a named port", "x: podSelector: {}, ingress: [{ports: [{port: web}]}]",
		"v/a > x/a:8080, v/a > x/b:8081, v/b > x/c:8080", "v/a > x/a:8081, v/a > x/b:8080, v/b > x/a:8081/udp"),
	one("a named port of UDP", "x: podSelector: {}, ingress: [{ports: [{port: talk, protocol: UDP}]}]", "v/a > x/a:8081/udp, v/b > x/b:8081/udp", "v/a > x/a:8080/udp, v/a > x/a:8081"),
	one("a name with the wrong protocol", "x: podSelector: {}, ingress: [{ports: [{port: talk}]}]", "", "v/a > x/a:8081, v/b > x/a:8081/udp"),
	one("a name that no pod has", "x: podSelector: {}, ingress: [{ports: [{port: none}]}]", "", "v/a > x/a:8080, x/b > x/a:8080"),
	one("a named port from one namespace", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: web}]}]", "z/a > x/a:8080, z/a > x/b:8081", "z/a > x/b:8080, v/a > x/a:8080"),
	one("a block of one pod", "x: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: $v/a/32}}]}]", "v/a > x/a:8080, v/a > x/b:8080", "v/b > x/a:8080, x/c > x/a:8080, z/a > x/a:8080"),
	one("all pods' range without one", "x: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.42.0.0/16, except: [$v/a/32]}}]}]", "v/b > x/a:8080, z/a > x/a:8080, host.edge2 > x/a:8080", "v/a > x/a:8080, v/a > x/b:8080/udp"),
	one("an exception of one peer does not bind another", "x: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.42.0.0/16, except: [$v/a/32, $v/b/32]}}, {namespaceSelector: {matchLabels: {ns: v}}, podSelector: {matchLabels: {pod: b}}}]}]", "v/b > x/a:8080, z/a > x/a:8080", "v/a > x/a:8080"),
	one("a node that is no own one by its address", "x: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: $server/32}}]}]", "host.server > x/a:8080", "host.edge2 > x/a:8080, z/a > x/a:8080"),
	one("everybody by a block", "x: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]", "v/a > x/a:8080, z/a > x/b:8080/udp, host.server > x/a:8080", ""),
	one("clients outside by a block", "z: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: $out/32}}]}]", "out > np.z/a@out:80", "x/a > z/a:8080, v/a > z/a:8081"),
	one("no clients outside", "z: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [$out/32]}}]}]", "x/a > z/a:8080, v/b > z/a:8081", "out > np.z/a@out:80"),
	one("a peer that chooses nobody", "x: podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: nobody}}}]}]", "x/a > v/a:8080", "v/a > x/a:8080, x/b > x/a:8080"),
	one("an empty list of peers is everybody", "x: podSelector: {}, ingress: [{from: [], ports: [{port: 8080}]}]", "v/a > x/a:8080, host.server > x/b:8080", "v/a > x/a:8081"),
	one("policies add up", denyIn+"x: podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}]}]\nx: podSelector: {matchLabels: {app: shop}}, ingress: [{ports: [{port: 8081}]}]",
		"v/a > x/a:8080, z/a > x/a:8081, z/a > x/b:8081", "z/a > x/a:8080, v/a > x/b:8080"),
	one("pods in the network of a host are not selected", denyIn, "v/a > host.edge2:18080, z/a > host.edge2:18080", "v/a > x/b:8080"),
}

var egressCases = []aCase{
	one("default deny egress", denyOut, "v/a > x/a:8080, z/a > x/b:8081, host.edge2 > x/a:8080, v/b > v/a:8080",
		"x/a > x/b:8080, x/a > x/c:8080, x/a > v/a:8080/udp, x/b > z/a:8080, x/a > out:8080, x/a > dns:a.x, x/a > dns:53, x/a > api:443, x/b > x/c:0/ping"),
	one("a pod reaches its own node", denyOut, "x/b > host.edge2:18080", "x/a > host.edge2:18080"),
	one("allow all egress beside deny", denyOut+"x: podSelector: {}, policyTypes: [Egress], egress: [{}]", all, ""),
	one("egress to DNS only", dnsOnly, "x/a > dns:a.x, x/b > dns:kubernetes.default, x/a > dns:53, v/a > x/a:8080", "x/a > x/b:8080, x/a > v/a:8080, x/a > out:8080, x/a > api:443"),
	one("egress to DNS by named ports", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: dns, protocol: UDP}, {port: dns-tcp}]}]", "x/a > dns:a.x, x/c > dns:53", "x/a > x/b:8080, x/a > api:443"),
	one("egress to port 53 of anybody", "x: podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]", "x/a > dns:a.x", "x/a > dns:53, x/a > x/b:8080"),
	one("egress to a namespace", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: v}}}]}]",
		"x/a > v/a:8080, x/a > v/b:8081/udp, x/b > v/b:8080", "x/a > z/a:8080, x/a > x/c:8080, x/a > out:8080, x/a > dns:a.x"),
	one("egress to a pod", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]", "x/a > x/b:8080, x/c > x/b:8081", "x/a > x/c:8080, x/a > v/b:8080"),
	one("egress to both selectors", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: v}}, podSelector: {matchLabels: {pod: a}}}]}]", "x/a > v/a:8080, x/b > v/a:8080", "x/a > v/b:8080, x/b > x/a:8080"),
	one("egress to a port", "x: podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 8080}]}]", "x/a > v/a:8080, x/a > x/c:8080, x/a > out:8080", "x/a > v/a:8081, x/a > out:8081, x/a > v/a:8080/udp"),
	one("egress to a range of ports", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 8081, endPort: 8090}]}]", "x/a > v/a:8081, x/b > x/a:8081", "x/a > v/a:8080, x/a > out:8081"),
	one("egress to a named port", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: web}]}]", "x/a > v/a:8080, x/a > v/b:8081", "x/a > v/a:8081, x/a > v/b:8080, x/a > z/a:8080"),
	one("egress to a named port of anybody", "x: podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]", "x/a > v/a:8080, x/a > x/b:8081, x/b > z/a:8080", "x/a > v/a:8081, x/a > out:8080"),
	one("egress to the world only", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]", "x/a > out:8080, x/b > out:8081", "x/a > v/a:8080, x/a > dns:a.x, x/a > api:443"),
	one("egress to the world without one", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [$out/32]}}]}]", "x/a > v/a:8080, x/a > dns:a.x, x/b > x/a:8080", "x/a > out:8080, x/b > out:8081"),
	one("egress to one address and port", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: $out/32}}], ports: [{port: 8081}]}]", "x/a > out:8081, x/c > out:8081", "x/a > out:8080, x/a > v/a:8081"),
	one("egress to the API", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.43.0.1/32}}], ports: [{port: 443}]}]", "x/a > api:443, x/b > api:443", "x/a > out:8080, x/a > dns:53, x/a > v/a:8080"),
	one("egress to the API by its servers' port", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.43.0.0/16}}], ports: [{port: 6443}]}]", "x/a > api:443", "x/a > dns:53, x/a > svc.v/a:80"),
	one("the types leave egress out", "x: podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 1}]}]", "x/a > v/a:8080, x/a > out:8080", "v/a > x/a:8080"),
	one("the types default to both", "x: podSelector: {}, egress: [{ports: [{port: 8080}]}]", "x/a > v/a:8080, x/a > out:8080", "x/a > v/a:8081, v/a > x/a:8080, x/b > x/a:8080"),
	one("both directions closed", "x: podSelector: {}, policyTypes: [Ingress, Egress]", "v/a > z/a:8080, host.edge1 > x/a:8080", "v/a > x/a:8080, x/a > v/a:8080, x/a > x/c:8080, x/a > dns:a.x"),
	one("both ends must agree", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: v}}}]}]\nv: podSelector: {}, ingress: [{ports: [{port: 8080}]}]",
		"x/a > v/a:8080, z/a > v/a:8080, x/b > v/b:8080", "x/a > v/a:8081, x/a > z/a:8080, z/a > v/b:8081"),
	one("egress of one node's pods to another of it", "x: podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: c}}}]}]", "x/a > x/c:8080, x/c > v/b:8080", "x/a > v/b:8080, x/a > x/b:8080"),
}

// pathCases are about addresses that are not the pods' own.
var pathCases = []aCase{
	one("a service's address under default deny", denyIn, "x/a > svc.v/a:80, v/a > svc.z/a:80", "v/a > svc.x/a:80, x/c > svc.x/a:80, v/b > svc.x/b:80/udp"),
	one("a service's address by the target's port", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: 8080}, {port: 8080, protocol: UDP}]}]", "v/a > svc.x/a:80, v/b > svc.x/b:80, v/b > svc.x/a:80/udp", "z/a > svc.x/a:80, x/b > svc.x/a:80"),
	one("egress by a service's address is egress to its pods", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: 8080}]}]", "x/a > svc.v/a:80, x/a > svc.v/b:80, x/b > svc.v/a:80", "x/a > svc.z/a:80, x/a > svc.x/c:80"),
	one("a node port under default deny", denyIn, "v/b > np.z/a@edge1:0, v/b > np.v/a@edge1:0", "v/b > np.x/a@edge1:0, v/b > np.x/b@edge1:0, v/a > np.x/b@edge2:0"),
	one("a node port by the client's pod", "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: 8080}]}]", "v/b > np.x/a@edge1:0", "z/a > svc.x/a:80, x/c > svc.x/a:80"),
	one("egress by a node port", "x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: v}}}]}]", "x/a > np.v/b@edge1:0, x/a > np.v/a@edge1:0", "x/a > np.z/a@edge1:0, x/a > np.x/c@edge1:0"),
	one("a pod reaches itself by its service", "x: podSelector: {}, policyTypes: [Ingress, Egress]", "x/a > svc.x/a:80, x/b > svc.x/b:80", "x/c > svc.x/a:80, v/a > svc.x/b:80"),
	one("a node port from outside under default deny", "z: podSelector: {}", "", "out > np.z/a@out:0, x/a > z/a:8080"),
}

// changeCases are about what changes.
var changeCases = []aCase{
	{"a policy that is removed", []step{{policies: denyIn, no: "v/a > x/a:8080, x/c > x/a:8080, z/a > x/b:8080"}, {yes: all}}},
	{"one of two policies is removed", []step{
		{policies: denyIn + "x: podSelector: {}, ingress: [{ports: [{port: 8080}]}]", yes: "v/a > x/a:8080", no: "v/a > x/a:8081"},
		{policies: denyIn, no: "v/a > x/a:8080, v/a > x/a:8081"},
	}},
	{"a port that is added", []step{
		{policies: "x: podSelector: {}, ingress: [{ports: [{port: 8080}]}]", yes: "v/a > x/a:8080", no: "v/a > x/a:8081"},
		{policies: "x: podSelector: {}, ingress: [{ports: [{port: 8080}, {port: 8081}]}]", yes: "v/a > x/a:8080, v/a > x/a:8081"},
	}},
	{"a label of a peer", []step{
		{policies: "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {role: friend}}}]}]", no: "v/a > x/a:8080, v/b > x/a:8080"},
		{policies: "same", labels: []string{"v/a role=friend"}, yes: "v/a > x/a:8080, v/a > x/b:8080", no: "v/b > x/a:8080"},
		{policies: "same", labels: []string{"v/a role=null", "v/b role=friend"}, yes: "v/b > x/a:8080", no: "v/a > x/a:8080, v/a > x/b:8080"},
		{policies: "same", labels: []string{"v/b role=null"}, no: "v/a > x/a:8080, v/b > x/a:8080"},
	}},
	{"a label of the selected pod", []step{
		{policies: "x: podSelector: {matchLabels: {guard: 'on'}}", yes: "v/a > x/a:8080"},
		{policies: "same", labels: []string{"x/a guard=on"}, yes: "v/a > x/c:8080", no: "v/a > x/a:8080"},
		{policies: "same", labels: []string{"x/a guard=null"}, yes: "v/a > x/a:8080"},
	}},
	{"a label of a namespace", []step{
		{policies: "x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {trust: high}}}]}]", no: "v/a > x/a:8080, z/a > x/a:8080"},
		{policies: "same", labels: []string{"v trust=high"}, yes: "v/a > x/a:8080, v/b > x/b:8080", no: "z/a > x/a:8080"},
		{policies: "same", labels: []string{"v trust=null"}, no: "v/a > x/a:8080, v/b > x/b:8080"},
	}},
}
