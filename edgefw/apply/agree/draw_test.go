//go:build namespace

package agree

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

// draw makes packets, each of them once.
type draw struct {
	chance.Chance
	port uint16
	used map[key]bool
	// through: packets that come go on to where network policies are asked.
	through bool
}

// parse makes addresses.
func parse(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

var (
	// toHost has the address of all routers of the node's network, too, which a
	// node that forwards hears (RFC 4291 2.6.1).
	pod      = netip.MustParseAddr("10.42.0.5")
	elsepods = parse("10.42.3.3", "10.42.0.77")
	toHost   = append(parse("224.0.0.251", "255.255.255.255", "ff02::fb", "10.43.7.7", "203.0.113.9", "2001:db8:e::9", "2001:db8:f::", "10.42.0.5"), parse(own...)...)
	toOther  = append(parse("224.0.0.251", "255.255.255.255", "10.43.7.7", "203.0.113.9", "2001:db8:e::9"), elsepods...)
)

// facts are those of the node; some of its servers and resolvers are among the
// addresses of the world.
func (d *draw) facts(server bool) model.Facts {
	f := model.Facts{
		PodRange: netip.MustParsePrefix("10.42.0.0/24"), PodLink: "kedge0", RelayLink: "kedge-relay",
		Services:   netip.MustParsePrefix("10.43.0.0/16"),
		ClusterDNS: netip.MustParseAddr("10.43.0.10"), API: netip.MustParseAddr("10.43.0.1"), APIPorts: []uint16{8, 9},
		Resolvers: chance.Many(d.Chance, 2, d.Addr), TimeServers: chance.Many(d.Chance, 2, d.Addr),
		Servers: chance.Many(d.Chance, 2, func() netip.AddrPort { return netip.AddrPortFrom(d.Addr(), 6) }),
		Failsafe: chance.Many(d.Chance, 3, func() model.Failsafe {
			return model.Failsafe{From: d.Prefix(), Port: uint16(2 + d.IntN(3))}
		}),
	}
	if server {
		f.Door = 7
	}
	return f
}

func local() plan.Local {
	return plan.Local{Names: chance.Names(), Addresses: parse(own...), Pods: pods}
}

// packet is one that was not there before.
func (d *draw) packet() model.Packet {
	for {
		p := d.any()
		if p.From.Addr().Is4() == p.To.Addr().Is4() && !d.used[keyOf(p)] {
			d.used[keyOf(p)] = true
			return p
		}
	}
}

func (d *draw) any() model.Packet {
	if d.One(20) && !d.through {
		return d.established()
	}
	p := model.Packet{Protocol: chance.Pick(d.Chance, model.TCP, model.TCP, model.UDP, model.UDP, model.ICMP, model.SCTP)}
	var from, to netip.Addr
	if d.One(2) {
		p.Direction, p.Link, from, to = d.incoming()
	} else {
		p.Direction = model.Egress
		from = chance.Pick(d.Chance, parse(own[:2]...)...)
		if to = d.Addr(); d.One(3) {
			to = chance.Pick(d.Chance, append(append(toOther, pod), parse(own...)...)...)
		}
		p.Mark = chance.Pick(d.Chance, 0, 0, 0, model.LinkMark)
	}
	p.From, p.To = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
	if p.Protocol == model.ICMP {
		p.ICMPType = d.icmpType(to)
		return p
	}
	p.From, p.To = netip.AddrPortFrom(from, d.sourcePort()), netip.AddrPortFrom(to, d.destinationPort())
	return p
}

// flows are those that were let through once, by their first packets.
func flows() []model.Packet {
	var all []model.Packet
	for i, to := range parse(own[:2]...) {
		for j, from := range [][]netip.Addr{parse("192.0.2.3", "10.1.0.4"), parse("2001:db8::3", "2001:db8::4")}[i] {
			all = append(all, model.Packet{Direction: model.Ingress, Protocol: model.UDP, Link: "eth0",
				From: netip.AddrPortFrom(from, 700), To: netip.AddrPortFrom(to, uint16(4+j))})
		}
	}
	return all
}

func answer(p model.Packet) model.Packet {
	return model.Packet{Direction: model.Egress, Protocol: p.Protocol, From: p.To, To: p.From}
}

// established is another packet of such a flow.
func (d *draw) established() model.Packet {
	p := chance.Pick(d.Chance, flows()...)
	if d.One(2) {
		p = answer(p)
	}
	p.Established = true
	return p
}

func (d *draw) incoming() (direction model.Direction, link string, from, to netip.Addr) {
	if d.through {
		return d.passing()
	}
	to = chance.Pick(d.Chance, toHost...)
	switch d.IntN(6) {
	case 0:
		return model.Ingress, "kedge0", pod, to
	case 1:
		return model.Ingress, "kedge-relay", elsepods[0], to
	case 2: // whatever comes by whichever device
		return model.Ingress, chance.Pick(d.Chance, links...), chance.Pick(d.Chance, append(elsepods, pod, d.Addr())...), to
	default:
		return model.Ingress, "eth0", d.Addr(), to
	}
}

// icmpType leaves out what hosts without routers' rights would not send, and
// what the kernel sends by itself.
func (d *draw) icmpType(to netip.Addr) uint8 {
	if to.Is4() {
		return chance.Pick[uint8](d.Chance, 0, 3, 5, 8, 8, 8, 11, 12, 13)
	}
	return chance.Pick[uint8](d.Chance, 1, 2, 3, 4, 128, 128, 128, 129, 135, 140)
}

func (d *draw) sourcePort() uint16 {
	if d.One(8) {
		return chance.Pick[uint16](d.Chance, 67, 68, 546, 547)
	}
	d.port++
	return 1024 + d.port%60000
}

func (d *draw) destinationPort() uint16 {
	if d.One(4) {
		return chance.Pick[uint16](d.Chance, 53, 67, 68, 123, 546, 547)
	}
	return uint16(1 + d.IntN(10))
}
