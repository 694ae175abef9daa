package netpol

import "testing"

// Each case is what is written, and what then passes and what does not.
var semantics = []struct {
	name, policies string
	yes, no        string
}{
	{name: "no policy", yes: "x/a > u/b:80, x/a > 8.8.8.8:53/udp, 8.8.8.8 > x/a:80"},
	{
		name:     "default deny ingress",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}}`,
		yes:      "x/a > u/b:80, u/a > z/a:80, x/a > x/a:80, x/a > 10.43.0.10:53/udp",
		no:       "x/a > x/b:80, u/a > x/a:80, 8.8.8.8 > x/c:80, u/a > x/a:5353/udp, u/a > x/a:9/sctp, u/a > x/a:0/icmp",
	},
	{
		name:     "default deny egress",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress]}`,
		yes:      "u/b > x/a:80, 8.8.8.8 > x/a:80",
		no:       "x/a > x/b:80, x/a > u/a:80, x/a > 8.8.8.8:53/udp, x/a > 10.43.0.10:53/udp, x/a > 10.43.0.1:443",
	},
	{
		name:     "types default to egress too where a rule of it is written",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, egress: [{}]}`,
		yes:      "x/a > u/a:80",
		no:       "u/a > x/a:80, x/b > x/a:80",
	},
	{
		name:     "an egress rule means nothing where the types leave egress out",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 1}]}]}`,
		yes:      "x/a > u/a:80",
		no:       "u/a > x/a:80",
	},
	{
		name:     "allow all ingress",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{}]}`,
		yes:      "u/a > x/a:80, 8.8.8.8 > x/a:5353/udp, u/a > x/a:0/icmp",
	},
	{
		name:     "only the selected pods",
		policies: `metadata: {namespace: x}, spec: {podSelector: {matchLabels: {pod: a}}}`,
		yes:      "u/a > x/b:80, u/a > x/c:80",
		no:       "u/a > x/a:80",
	},
	{
		name:     "expressions",
		policies: `metadata: {namespace: x}, spec: {podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}, {key: app, operator: Exists}]}}`,
		yes:      "u/a > x/c:80",
		no:       "u/a > x/a:80, u/a > x/b:80",
	},
	{
		name:     "not in",
		policies: `metadata: {namespace: x}, spec: {podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}, {key: nothing, operator: DoesNotExist}]}}`,
		yes:      "u/a > x/a:80",
		no:       "u/a > x/b:80, u/a > x/c:80",
	},
	{
		name:     "a pod selector is about the policy's own namespace",
		policies: `metadata: {namespace: x}, spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`,
		yes:      "x/b > x/a:80, x/b > x/a:5353/udp",
		no:       "u/b > x/a:80, x/c > x/a:80",
	},
	{
		name:     "a namespace selector",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: u}}}]}]}`,
		yes:      "u/a > x/a:80, u/c > x/b:80",
		no:       "z/a > x/a:80, x/b > x/a:80, 8.8.8.8 > x/a:80",
	},
	{
		name:     "an empty namespace selector is all pods and nobody else",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`,
		yes:      "u/a > x/a:80, x/b > x/a:80, z/c > x/a:80",
		no:       "8.8.8.8 > x/a:80, 10.42.0.1 > x/a:80",
	},
	{
		name:     "both selectors in one peer are both needed",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: u}}, podSelector: {matchLabels: {pod: b}}}]}]}`,
		yes:      "u/b > x/a:80",
		no:       "u/a > x/a:80, x/b > x/a:80, z/b > x/a:80",
	},
	{
		name:     "in two peers one is enough",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: u}}}, {podSelector: {matchLabels: {pod: b}}}]}]}`,
		yes:      "u/a > x/a:80, x/b > x/a:80",
		no:       "z/b > x/a:80, x/c > x/a:80",
	},
	{
		name:     "namespaces by expression",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [x, z]}]}}]}]}`,
		yes:      "u/a > x/a:80",
		no:       "z/a > x/a:80, x/b > x/a:80",
	},
	{
		name:     "a port is one of TCP where nothing else is written",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}`,
		yes:      "u/a > x/a:80, 8.8.8.8 > x/a:80",
		no:       "u/a > x/a:81, u/a > x/a:80/udp, u/a > x/a:0/icmp",
	},
	{
		name:     "a protocol without a port",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}`,
		yes:      "u/a > x/a:1/udp, u/a > x/a:65535/udp",
		no:       "u/a > x/a:1",
	},
	{
		name:     "sctp",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{protocol: SCTP, port: 7}]}]}`,
		yes:      "u/a > x/a:7/sctp",
		no:       "u/a > x/a:7, u/a > x/a:8/sctp",
	},
	{
		name:     "a range of ports",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 90}, {port: 5000, endPort: 6000, protocol: UDP}]}]}`,
		yes:      "u/a > x/a:80, u/a > x/a:90, u/a > x/a:5353/udp",
		no:       "u/a > x/a:79, u/a > x/a:91, u/a > x/a:80/udp",
	},
	{
		name:     "ports and peers of one rule are both needed",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: u}}}], ports: [{port: 80}]}]}`,
		yes:      "u/a > x/a:80",
		no:       "u/a > x/a:81, z/a > x/a:80",
	},
	{
		name:     "of two rules one is enough",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: u}}}], ports: [{port: 80}]}, {from: [{podSelector: {}}], ports: [{port: 81}]}]}`,
		yes:      "u/a > x/a:80, x/b > x/a:81",
		no:       "u/a > x/a:81, x/b > x/a:80",
	},
	{
		name:     "a named port of ingress is each selected pod's own",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: web}]}]}`,
		yes:      "u/a > x/a:80, u/a > x/b:81, u/a > x/c:80",
		no:       "u/a > x/a:81, u/a > x/b:80, u/a > x/b:5353/udp",
	},
	{
		name:     "a name with another protocol is another port",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: web, protocol: UDP}, {port: talk, protocol: UDP}]}]}`,
		yes:      "u/a > x/a:5353/udp",
		no:       "u/a > x/a:80, u/a > x/a:80/udp",
	},
	{
		name:     "a name that no pod has allows nothing",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: none}]}]}`,
		no:       "u/a > x/a:80",
	},
	{
		name:     "a named port of egress is each receiver's own",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: u}}}], ports: [{port: web}]}]}`,
		yes:      "x/a > u/a:80, x/a > u/b:81",
		no:       "x/a > u/a:81, x/a > u/b:80, x/a > z/a:80, x/a > 8.8.8.8:80",
	},
	{
		name:     "a named port of egress to everybody is that of all pods",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]}`,
		yes:      "x/a > u/a:80, x/a > z/b:81, x/b > x/a:80",
		no:       "x/a > u/a:81, x/a > 8.8.8.8:80",
	},
	{
		name:     "the names of the cluster DNS",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: dns, protocol: UDP}, {port: dns-tcp}]}]}`,
		yes:      "x/a > 10.43.0.10:53/udp, x/a > 10.43.0.10:53",
		no:       "x/a > 10.43.0.10:54/udp, x/a > u/a:53/udp, x/a > 8.8.8.8:53/udp",
	},
	{
		name:     "egress to DNS only, by number",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}]}`,
		yes:      "x/a > 10.43.0.10:53/udp, x/a > 10.43.0.10:53, u/a > x/a:80",
		no:       "x/a > u/a:80, x/a > 8.8.8.8:53/udp",
	},
	{
		name:     "egress to port 53 of anybody",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}`,
		yes:      "x/a > 10.43.0.10:53/udp, x/a > 8.8.8.8:53/udp, x/a > u/a:53/udp",
		no:       "x/a > 8.8.8.8:53, x/a > 10.43.0.1:443",
	},
	{
		name:     "the API by a block and a port that people write",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.43.0.1/32}}], ports: [{port: 6443}]}]}`,
		yes:      "x/a > 10.43.0.1:443, x/a > 10.43.0.1:6443, x/a > 10.43.0.1:6444",
		no:       "x/a > 10.43.0.1:80, x/a > u/a:6443, x/a > 10.43.0.2:443",
	},
	{
		name:     "the API by a port of anybody",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}`,
		yes:      "x/a > 10.43.0.1:6444, x/a > 8.8.8.8:443",
		no:       "x/a > 8.8.8.8:6444, x/a > 8.8.8.8:6443",
	},
	{
		name:     "the API is no pod",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}`,
		yes:      "x/a > u/a:80, x/a > 10.43.0.10:53/udp",
		no:       "x/a > 10.43.0.1:443, x/a > 8.8.8.8:80",
	},
	{
		name:     "the API is not in a block that leaves it out",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.43.0.0/16]}}], ports: [{port: 443}]}]}`,
		yes:      "x/a > 8.8.8.8:443",
		no:       "x/a > 10.43.0.1:443, x/a > 10.43.0.1:6444",
	},
	{
		name:     "a block with exceptions",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.64/26, 192.0.2.1/32]}}]}]}`,
		yes:      "192.0.2.2 > x/a:80, 192.0.2.128 > x/a:80",
		no:       "192.0.2.1 > x/a:80, 192.0.2.70 > x/a:80, 192.0.3.1 > x/a:80, u/a > x/a:80",
	},
	{
		name:     "an exception of one peer does not bind another",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.42.0.0/16]}}, {podSelector: {}}, {ipBlock: {cidr: 10.42.0.13/32}}]}]}`,
		yes:      "10.1.2.3 > x/a:80, x/b > x/a:80, 10.42.0.13 > x/a:80",
		no:       "u/a > x/a:80, 8.8.8.8 > x/a:80",
	},
	{
		name:     "a block of everything",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`,
		yes:      "x/a > 8.8.8.8:80, x/a > 200.1.1.1:80/udp, x/a > u/a:80, x/a > 10.43.0.1:443",
		no:       "x/a > 2001:db8::1:80",
	},
	{
		name:     "blocks of IPv6",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: '2001:db8::/32', except: ['2001:db8:1::/48']}}, {ipBlock: {cidr: 192.0.2.0/24}}]}]}`,
		yes:      "x/a > 2001:db8::1:80, x/a > 192.0.2.9:80",
		no:       "x/a > 2001:db8:1::1:80, x/a > 2001:db9::1:80",
	},
	{
		name:     "a block may hold pods",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.42.1.0/24}}]}]}`,
		yes:      "x/a > x/b:80, x/a > u/a:80",
		no:       "x/a > x/c:80, x/a > u/b:80",
	},
	{
		name: "policies add up",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}}
---
metadata: {namespace: x}, spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: u}}}]}]}
---
metadata: {namespace: x}, spec: {podSelector: {matchLabels: {app: shop}}, ingress: [{ports: [{port: 81}]}]}`,
		yes: "u/a > x/a:80, z/a > x/a:81, z/a > x/b:81",
		no:  "z/a > x/a:80, u/a > x/b:80",
	},
	{
		name: "both ends must agree",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: u}}}]}]}
---
metadata: {namespace: u}, spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}`,
		yes: "x/a > u/a:80, z/a > u/a:80, x/a > u/b:80",
		no:  "x/a > u/a:81, x/a > z/a:80, z/a > u/b:81",
	},
	{
		name:     "a peer that chooses nobody allows nobody",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: nobody}}}]}]}`,
		no:       "u/a > x/a:80, x/b > x/a:80",
	},
	{
		name:     "an empty list of peers is everybody, as no list is",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: []}], egress: [{to: [], ports: []}]}`,
		yes:      "8.8.8.8 > x/a:80, x/a > 8.8.8.8:80, x/a > 10.43.0.1:443",
	},
	{
		name:     "an empty list of rules allows nothing",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [], egress: []}`,
		no:       "8.8.8.8 > x/a:80, x/a > 8.8.8.8:80",
	},
	{
		name:     "a peer of nothing is nobody",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{}]}]}`,
		no:       "u/a > x/a:80",
	},
	{
		name:     "blocks that cannot be read allow nobody",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: garbage}}]}]}`,
		no:       "u/a > x/a:80, 8.8.8.8 > x/a:80",
	},
	{
		name:     "ports that cannot be allow nothing",
		policies: `metadata: {namespace: x}, spec: {podSelector: {}, ingress: [{ports: [{port: 90, endPort: 80}, {port: 70000}]}]}`,
		no:       "u/a > x/a:80, u/a > x/a:90",
	},
}

func TestPoliciesMeanWhatUpstreamSays(t *testing.T) {
	for _, c := range semantics {
		t.Run(c.name, func(t *testing.T) {
			in := fixture()
			in.Policies = policies(t, c.policies)
			w := compiledWorld(in)
			w.expect(t, "to pass", c.yes, true)
			w.expect(t, "to be refused", c.no, false)
		})
	}
}
