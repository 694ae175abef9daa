package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// The world of random tests is small, so that rules and packets meet: some forty
// addresses, eight ports.

type chance struct{ *rand.Rand }

func newChance(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 5))} }

func (c chance) one(in int) bool { return c.IntN(in) == 0 }

func pick[T any](c chance, list ...T) T { return list[c.IntN(len(list))] }

// addr is one of some in 192.0.2.0/28, 10.1.0.0/28 or 2001:db8::/124.
func (c chance) addr() netip.Addr {
	n := byte(c.IntN(16))
	switch c.IntN(5) {
	case 0:
		return netip.AddrFrom4([4]byte{10, 1, 0, n})
	case 1, 2:
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: n})
	default:
		return netip.AddrFrom4([4]byte{192, 0, 2, n})
	}
}

func (c chance) prefix() netip.Prefix {
	a := c.addr()
	if c.one(12) {
		return netip.PrefixFrom(a, 0)
	}
	p := netip.PrefixFrom(a, a.BitLen()-c.IntN(5))
	if c.one(2) {
		p = p.Masked()
	}
	return p
}

func many[T any](c chance, most int, one func() T) []T {
	var list []T
	for range c.IntN(most + 1) {
		list = append(list, one())
	}
	return list
}

func (c chance) selector() labels.Selector {
	return pick(c, labels.Everything(), labels.Nothing(), labels.SelectorFromSet(labels.Set{"pool": "a"}),
		labels.SelectorFromSet(labels.Set{"pool": "b"}), labels.SelectorFromSet(labels.Set{"pool": "c"}))
}

func (c chance) peer() model.Peer {
	switch c.IntN(8) {
	case 0, 1, 2:
		return model.Peer{CIDR: c.prefix(), Except: many(c, 2, c.prefix)}
	case 3, 4:
		return model.Peer{AddressSet: pick(c, "x", "y", "missing")}
	case 5:
		return model.Peer{Nodes: c.selector()}
	case 6:
		return model.Peer{DNS: pick(c, "one.example.org", "two.example.org")}
	default:
		return pick(c, model.Peer{Cluster: true}, model.Peer{Servers: true})
	}
}

func (c chance) ports() []model.PortRange {
	return many(c, 3, func() model.PortRange {
		first := uint16(1 + c.IntN(8))
		return model.PortRange{First: first, Last: first + uint16(c.IntN(3))}
	})
}

func (c chance) rules() []model.Rule {
	n := 0
	return many(c, 5, func() model.Rule {
		n++
		r := model.Rule{Name: fmt.Sprintf("rule-%d", n), Protocol: pick(c, model.AnyProtocol, model.TCP, model.TCP, model.UDP, model.ICMP),
			Action: pick(c, model.Allow, model.Allow, model.Deny, model.Reject, model.Log), Log: c.one(4)}
		if r.Protocol == model.TCP || r.Protocol == model.UDP {
			r.Ports = c.ports()
		}
		if !c.one(4) {
			r.Peers = append(many(c, 2, c.peer), c.peer())
		}
		return r
	})
}

func (c chance) section() model.Section {
	return model.Section{Rules: c.rules(), Default: pick(c, model.Pass, model.Pass, model.Allow, model.Deny, model.Reject)}
}

func (c chance) firewall(n int) model.Firewall {
	return model.Firewall{Name: number("f", n), Priority: int32(c.IntN(3)), Created: day(1 + c.IntN(3)), Generation: 1,
		Nodes: pick(c, nil, c.selector()), OnChange: pick(c, model.Keep, model.Keep, model.Cut), Ingress: c.section(), Egress: c.section()}
}

func (c chance) node(n int) model.Node {
	return model.Node{Name: number("n", n), Labels: map[string]string{"pool": pick(c, "a", "b")}, Server: n == 0,
		Public: many(c, 2, c.addr), Reported: many(c, 3, c.addr), PodRanges: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 42, byte(n), 0}), 24)}}
}

func (c chance) balanced(n int) model.Balanced {
	return model.Balanced{Name: "default/" + number("s", n), Sources: many(c, 2, c.prefix),
		Ports: many(c, 2, func() model.BalancedPort {
			return model.BalancedPort{Protocol: pick(c, model.TCP, model.UDP), Port: uint16(1 + c.IntN(8))}
		}),
		Nodes: []string{number("n", c.IntN(6)), number("n", 6+c.IntN(6))}}
}

func (c chance) addressSets() map[string]model.AddressSet {
	return map[string]model.AddressSet{
		"x": {Name: "x", Prefixes: many(c, 12, c.prefix)},
		"y": {Name: "y", Prefixes: many(c, 3, c.prefix)},
	}
}

func (c chance) input() Input {
	in := Input{Known: many(c, 2, c.addr), Inventory: model.Inventory{Servers: many(c, 2, c.addr), AddressSets: c.addressSets(),
		Pods: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, Services: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}}}
	for n := range 1 + c.IntN(5) {
		in.Firewalls = append(in.Firewalls, c.firewall(n))
	}
	for n := range 1 + c.IntN(6) {
		in.Inventory.Nodes = append(in.Inventory.Nodes, c.node(n))
	}
	for n := range c.IntN(3) {
		in.Inventory.Balanced = append(in.Inventory.Balanced, c.balanced(n))
	}
	return in
}

// packet is of one family.
func (c chance) packet() model.Packet {
	p := model.Packet{Direction: pick(c, model.Ingress, model.Egress), Protocol: pick(c, model.TCP, model.TCP, model.UDP, model.ICMP, model.SCTP)}
	from, to := c.addr(), c.addr()
	for from.BitLen() != to.BitLen() {
		to = c.addr()
	}
	if p.Protocol == model.ICMP {
		p.ICMPType = pick[uint8](c, 8, 128)
	}
	port := uint16(1 + c.IntN(10))
	if p.Protocol == model.ICMP || p.Protocol == model.SCTP {
		port = 0
	}
	p.From, p.To = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, port)
	return p
}

// someNames are what names mean on every node.
func someNames() map[string][]netip.Addr {
	return map[string][]netip.Addr{"one.example.org": addrs("192.0.2.1", "2001:db8::1"), "two.example.org": addrs("192.0.2.2")}
}
