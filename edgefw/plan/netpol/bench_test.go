package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
)

// fleet is 7,000 pods on 700 nodes in 40 namespaces, with 5 policies each: each
// pod is selected by four of them.
func fleet(b *testing.B) Input {
	in := Input{
		Namespaces: map[string]map[string]string{}, DNS: netip.MustParseAddr("10.43.0.10"),
		API: netip.MustParseAddr("10.43.0.1"), APIPorts: []uint16{443, 6444},
	}
	text := ""
	for n := range 40 {
		ns := fmt.Sprint("ns", n)
		in.Namespaces[ns] = map[string]string{"kubernetes.io/metadata.name": ns, "tier": fmt.Sprint(n % 4)}
		text += fmt.Sprintf(`metadata: {namespace: %[1]s}, spec: {podSelector: {}}
---
metadata: {namespace: %[1]s}, spec: {podSelector: {matchLabels: {app: a1}}, ingress: [{from: [{podSelector: {matchLabels: {app: a2}}}], ports: [{port: web}]}]}
---
metadata: {namespace: %[1]s}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}]}
---
metadata: {namespace: %[1]s}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {tier: '%[2]d'}}}, {ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.%[2]d/32]}}]}]}
---
metadata: {namespace: %[1]s}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}
---
`, ns, n%4)
	}
	for i := range 7000 {
		node := i % 700
		in.Pods = append(in.Pods, Pod{
			UID: fmt.Sprintf("3f0c8f1e-5d65-4c5e-9d3f-%012d", i), Namespace: fmt.Sprint("ns", i%40), Name: fmt.Sprint("pod", i), Node: fmt.Sprint("node", node),
			Labels:    map[string]string{"app": fmt.Sprint("a", i%7), "pod-template-hash": fmt.Sprint(i % 97), "version": "1", "release": "r"},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 42, byte(node / 4), byte(node%4*64 + i/700)})},
			Ports:     []NamedPort{{"web", model.TCP, 8080}},
		})
	}
	in.Policies = policies(b, text)
	return in
}

func BenchmarkCompileAll(b *testing.B) {
	in := fleet(b)
	b.ReportAllocs()
	for b.Loop() {
		Compile(in)
	}
}

// BenchmarkOnePodChanged is what a pod that comes or goes costs.
func BenchmarkOnePodChanged(b *testing.B) {
	in := fleet(b)
	var c Compiler
	c.Compile(in)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		in.Pods = slices.Clone(in.Pods)
		in.Pods[i%7000].Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 42, 200, byte(i)})}
		c.Compile(in)
		i++
	}
}
