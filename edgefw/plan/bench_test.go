package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

// large is a fleet at sites of two nodes each, with firewalls of ten rules and
// a long address set for each.
func large(nodes, firewalls, entries int) Input {
	in := Input{Inventory: model.Inventory{AddressSets: map[string]model.AddressSet{},
		Pods: prefixes("10.42.0.0/16"), Services: prefixes("10.43.0.0/16"), Servers: addrs("203.0.113.1")}}
	for n := range nodes {
		site := n / 2
		in.Inventory.Nodes = append(in.Inventory.Nodes, model.Node{Name: chance.Name("n", n), Server: n == 0,
			Labels:   map[string]string{"pool": chance.Name("p", n%20), "kubernetes.io/hostname": chance.Name("n", n)},
			Public:   []netip.Addr{netip.AddrFrom4([4]byte{198, 51, byte(site >> 8), byte(site)})},
			Reported: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 1, byte(10 + n%2)})}})
	}
	for f := range firewalls {
		name := chance.Name("f", f)
		in.Inventory.AddressSets[name] = model.AddressSet{Name: name, Prefixes: longList(f, entries)}
		in.Firewalls = append(in.Firewalls, largeFirewall(name, f))
	}
	return in
}

// largeFirewall selects half of the pools.
func largeFirewall(name string, f int) model.Firewall {
	var pools []string
	for p := range 10 {
		pools = append(pools, chance.Name("p", (f+p)%20))
	}
	selector, err := labels.Parse(fmt.Sprintf("pool in (%s)", join(pools)))
	if err != nil {
		panic(err)
	}
	s := model.Section{Default: model.Deny}
	for r := range 10 {
		s.Rules = append(s.Rules, model.Rule{Name: chance.Name("r", r), Action: model.Allow, Protocol: model.TCP,
			Ports: []model.PortRange{model.Port(uint16(1000 + 10*f + r))},
			Peers: []model.Peer{{AddressSet: name}, {Nodes: labels.SelectorFromSet(labels.Set{"pool": chance.Name("p", f%20)})}, {Cluster: r == 0, Servers: r != 0}}})
	}
	return model.Firewall{Name: name, Priority: int32(f), Nodes: selector, Ingress: s}
}

func join(words []string) string {
	text := words[0]
	for _, w := range words[1:] {
		text += "," + w
	}
	return text
}

func longList(seed, entries int) []netip.Prefix {
	list := make([]netip.Prefix, 0, entries)
	for i := range entries {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + seed), byte(i >> 7), byte(i << 1), 0}), 25))
	}
	return list
}

func BenchmarkCompile(b *testing.B) {
	for _, size := range []struct{ nodes, firewalls, entries int }{{500, 100, 10000}, {1000, 100, 10000}} {
		in := large(size.nodes, size.firewalls, size.entries)
		prefix := fmt.Sprintf("nodes=%d/", size.nodes)
		b.Run(prefix+"change=everything", func(b *testing.B) {
			for b.Loop() {
				Compile(in)
			}
		})
		for _, c := range changes() {
			b.Run(prefix+"change="+c.name, func(b *testing.B) { benchChange(b, in, c.make) })
		}
	}
}

type change struct {
	name string
	make func(in Input, n int) Input
}

// changes are what happens to a fleet; each makes the n-th version of an input.
func changes() []change {
	return []change{
		{"nothing", func(in Input, _ int) Input { return in }},
		{"set-entry", func(in Input, n int) Input {
			sets := map[string]model.AddressSet{}
			for name, s := range in.Inventory.AddressSets {
				sets[name] = s
			}
			list := slices.Clone(sets["f-000"].Prefixes)
			list[len(list)-1] = netip.PrefixFrom(netip.AddrFrom4([4]byte{223, 0, byte(n), byte(n << 1)}), 31)
			sets["f-000"] = model.AddressSet{Name: "f-000", Prefixes: list}
			in.Inventory.AddressSets = sets
			return in
		}},
		{"node-roams", func(in Input, n int) Input {
			in.Inventory.Nodes = slices.Clone(in.Inventory.Nodes)
			in.Inventory.Nodes[7].Public = []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})}
			return in
		}},
		{"rule", func(in Input, n int) Input {
			in.Firewalls = slices.Clone(in.Firewalls)
			rules := slices.Clone(in.Firewalls[50].Ingress.Rules)
			rules[0].Ports = []model.PortRange{model.Port(uint16(3000 + n%1000))}
			in.Firewalls[50].Ingress.Rules = rules
			return in
		}},
	}
}

func benchChange(b *testing.B, in Input, change func(Input, int) Input) {
	var c Compiler
	c.Compile(in)
	n := 0
	for b.Loop() {
		n++
		c.Compile(change(in, n))
	}
}

// BenchmarkMinimal is about the largest address set: as it should come, and with
// two halves of everything.
func BenchmarkMinimal(b *testing.B) {
	for name, step := range map[string]int{"list=minimal": 2, "list=halves": 1} {
		var list []netip.Prefix
		for i := range 100000 {
			n := uint32(i * step)
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 32))
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				minimal(list)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	in := large(4, 100, 10000)
	rs := Compile(in).Rulesets["n-003"]
	p := model.Packet{Direction: model.Ingress, Protocol: model.TCP,
		From: netip.MustParseAddrPort("192.0.2.1:1"), To: netip.MustParseAddrPort("192.168.1.11:22")}
	for b.Loop() {
		Decide(rs, facts(), Local{}, p)
	}
}
