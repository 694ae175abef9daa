package chance

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Chance makes values, always the same ones for the same seed.
type Chance struct{ *rand.Rand }

// New begins with a seed.
func New(seed uint64) Chance { return Chance{rand.New(rand.NewPCG(seed, 5))} }

// One is true once in so many times.
func (c Chance) One(in int) bool { return c.IntN(in) == 0 }

// Pick is one of the list.
func Pick[T any](c Chance, list ...T) T { return list[c.IntN(len(list))] }

// Addr is one of some in 192.0.2.0/28, 10.1.0.0/28 or 2001:db8::/124.
func (c Chance) Addr() netip.Addr {
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

// Prefix is a network of some of them, at times with bits of the host or of length 0.
func (c Chance) Prefix() netip.Prefix {
	a := c.Addr()
	if c.One(12) {
		return netip.PrefixFrom(a, 0)
	}
	p := netip.PrefixFrom(a, a.BitLen()-c.IntN(5))
	if c.One(2) {
		p = p.Masked()
	}
	return p
}

// Many are up to most values.
func Many[T any](c Chance, most int, one func() T) []T {
	var list []T
	for range c.IntN(most + 1) {
		list = append(list, one())
	}
	return list
}

// Selector chooses nodes by their pool.
func (c Chance) Selector() labels.Selector {
	return Pick(c, labels.Everything(), labels.Nothing(), labels.SelectorFromSet(labels.Set{"pool": "a"}),
		labels.SelectorFromSet(labels.Set{"pool": "b"}), labels.SelectorFromSet(labels.Set{"pool": "c"}))
}

// Peer is of any kind.
func (c Chance) Peer() model.Peer {
	switch c.IntN(8) {
	case 0, 1, 2:
		return model.Peer{CIDR: c.Prefix(), Except: Many(c, 2, c.Prefix)}
	case 3, 4:
		return model.Peer{AddressSet: Pick(c, "x", "y", "missing")}
	case 5:
		return model.Peer{Nodes: c.Selector()}
	case 6:
		return model.Peer{DNS: Pick(c, "one.example.org", "two.example.org")}
	default:
		return Pick(c, model.Peer{Cluster: true}, model.Peer{Servers: true})
	}
}

// Ports are up to three ranges.
func (c Chance) Ports() []model.PortRange {
	return Many(c, 3, func() model.PortRange {
		first := uint16(1 + c.IntN(8))
		return model.PortRange{First: first, Last: first + uint16(c.IntN(3))}
	})
}

// Rules are up to five.
func (c Chance) Rules() []model.Rule {
	n := 0
	return Many(c, 5, func() model.Rule {
		n++
		r := model.Rule{Name: fmt.Sprintf("rule-%d", n), Protocol: Pick(c, model.AnyProtocol, model.TCP, model.TCP, model.UDP, model.ICMP),
			Action: Pick(c, model.Allow, model.Allow, model.Deny, model.Reject, model.Log), Log: c.One(4)}
		if r.Protocol == model.TCP || r.Protocol == model.UDP {
			r.Ports = c.Ports()
		}
		if !c.One(4) {
			r.Peers = append(Many(c, 2, c.Peer), c.Peer())
		}
		return r
	})
}

// Section is what a firewall says of one direction.
func (c Chance) Section() model.Section {
	return model.Section{Rules: c.Rules(), Default: Pick(c, model.Pass, model.Pass, model.Allow, model.Deny, model.Reject)}
}

// Firewall is the n-th one.
func (c Chance) Firewall(n int) model.Firewall {
	return model.Firewall{
		Name: Name("f", n), Priority: int32(c.IntN(3)), Created: Day(1 + c.IntN(3)), Generation: 1, Nodes: Pick(c, nil, c.Selector()), OnChange: Pick(c, model.Keep, model.Keep, model.Cut),
		Ingress: c.Section(), Egress: c.Section(),
	}
}

// Node is the n-th one; the first is that of a server.
func (c Chance) Node(n int) model.Node {
	return model.Node{Name: Name("n", n), Labels: map[string]string{"pool": Pick(c, "a", "b")}, Server: n == 0,
		Public: Many(c, 2, c.Addr), Reported: Many(c, 3, c.Addr), PodRanges: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 42, byte(n), 0}), 24)}}
}

// Balanced is the n-th service.
func (c Chance) Balanced(n int) model.Balanced {
	return model.Balanced{Name: "default/" + Name("s", n), Sources: Many(c, 2, c.Prefix),
		Ports: Many(c, 2, func() model.BalancedPort {
			return model.BalancedPort{Protocol: Pick(c, model.TCP, model.UDP), Port: uint16(1 + c.IntN(8))}
		}),
		Nodes: []string{Name("n", c.IntN(6)), Name("n", 6+c.IntN(6))}}
}

// AddressSets are two.
func (c Chance) AddressSets() map[string]model.AddressSet {
	return map[string]model.AddressSet{
		"x": {Name: "x", Prefixes: Many(c, 12, c.Prefix)},
		"y": {Name: "y", Prefixes: Many(c, 3, c.Prefix)},
	}
}

// World is a fleet and what people wrote for it.
type World struct {
	Firewalls []model.Firewall
	Inventory model.Inventory
	// Known are addresses of nodes that are joining.
	Known []netip.Addr
}

// World is one of up to six nodes.
func (c Chance) World() World {
	w := World{Known: Many(c, 2, c.Addr), Inventory: model.Inventory{Servers: Many(c, 2, c.Addr), AddressSets: c.AddressSets(),
		Pods: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, Services: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}}}
	for n := range 1 + c.IntN(5) {
		w.Firewalls = append(w.Firewalls, c.Firewall(n))
	}
	for n := range 1 + c.IntN(6) {
		w.Inventory.Nodes = append(w.Inventory.Nodes, c.Node(n))
	}
	for n := range c.IntN(3) {
		w.Inventory.Balanced = append(w.Inventory.Balanced, c.Balanced(n))
	}
	return w
}

// Packet is of one family.
func (c Chance) Packet() model.Packet {
	p := model.Packet{Direction: Pick(c, model.Ingress, model.Egress), Protocol: Pick(c, model.TCP, model.TCP, model.UDP, model.ICMP, model.SCTP)}
	from, to := c.Addr(), c.Addr()
	for from.BitLen() != to.BitLen() {
		to = c.Addr()
	}
	if p.Protocol == model.ICMP {
		p.ICMPType = Pick[uint8](c, 8, 128)
	}
	port := uint16(1 + c.IntN(10))
	if p.Protocol == model.ICMP || p.Protocol == model.SCTP {
		port = 0
	}
	p.From, p.To = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, port)
	return p
}

// Names are what DNS names mean on every node.
func Names() map[string][]netip.Addr {
	return map[string][]netip.Addr{
		"one.example.org": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		"two.example.org": {netip.MustParseAddr("192.0.2.2")},
	}
}

// Name makes names for things by number.
func Name(word string, n int) string { return fmt.Sprintf("%s-%03d", word, n) }

// Day is a time at which something was made.
func Day(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
