//go:build namespace

package classify

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/tests/nethost"
)

// frame is what follows an Ethernet header of a type.
func frame(ethertype uint16, parts ...[]byte) []byte {
	out := binary.BigEndian.AppendUint16(make([]byte, 12), ethertype)
	return append(out, slices.Concat(parts...)...)
}

// ip4 is a header with words of options, fragment is flags and offset.
func ip4(protocol byte, to string, options int, fragment uint16) []byte {
	h := make([]byte, 20+4*options)
	h[0], h[8], h[9] = byte(0x45+options), 64, protocol
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+20))
	binary.BigEndian.PutUint16(h[6:], fragment)
	copy(h[12:], []byte{10, 42, 1, 2})
	to4 := netip.MustParseAddr(to).As4()
	copy(h[16:], to4[:])
	return h
}

func ip6(next byte) []byte {
	h := make([]byte, 40)
	h[0], h[6], h[7], h[23], h[39] = 0x60, next, 255, 1, 1
	return h
}

// ports are the first bytes of a TCP segment or datagram.
func ports(from, to uint16) []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, from)
	binary.BigEndian.PutUint16(h[2:], to)
	return h
}

// passes stands for a packet that is not classified.
const passes = 0

// classOf runs a hook's program for one packet that is at a link.
func classOf(t testing.TB, s *Set, h Hook, link int, packet []byte) uint16 {
	t.Helper()
	var in, out [192]byte // struct __sk_buff
	binary.NativeEndian.PutUint32(in[skbIfindex:], uint32(link))
	data := make([]byte, len(packet)+512)
	o := &ebpf.RunOptions{Data: packet, DataOut: data, Context: in[:], ContextOut: out[:]}
	verdict, err := s.programs[h].Run(o)
	if err != nil {
		t.Fatalf("%s: % x: %v", h, packet, err)
	}
	if !bytes.Equal(o.DataOut, packet) {
		t.Errorf("%s changed % x to % x", h, packet, o.DataOut)
	}
	priority := binary.NativeEndian.Uint32(out[skbPriority:])
	switch verdict {
	case 0:
		if priority != 0 {
			t.Errorf("%s: passes with priority %#x: % x", h, priority, packet)
		}
		return passes
	case ^uint32(0):
		if priority>>16 != uint32(plan.Major) {
			t.Errorf("%s: priority %#x: % x", h, priority, packet)
		}
		return uint16(priority)
	}
	t.Errorf("%s: verdict %d: % x", h, int32(verdict), packet)
	return 0xffff
}

// laboratory is a host with a link of a pod, and tables that are all in use.
func laboratory(t testing.TB, a Abilities) (*nethost.Host, *Set, int) {
	t.Helper()
	h := nethost.New(t)
	h.Run("ip link add pod1 type veth peer name pod1eth0; ip addr add 192.0.2.1/24 dev lo")
	var link *net.Interface
	h.Do(func() {
		var err error
		if link, err = net.InterfaceByName("pod1"); err != nil {
			t.Error(err)
		}
	})
	s := load(t, a)
	update(t, s, plan.Uplink{
		Device: "up0", Index: 1, Only: true,
		Pods:       []plan.PodEntry{{Pod: 1, Link: link.Index, NetnsID: -1, Target: same(pod1, pod1Local)}},
		Containers: []plan.ContainerEntry{{Cgroup: 1 << 40, Pod: 1, Target: same(aux, 0)}},
		Ports: []plan.PortEntry{
			{Pod: 1, Port: model.Port{Protocol: 6, Number: 80}, Target: same(app, appLocal)},
			{Pod: 0, Port: model.Port{Protocol: 17, Number: 80}, Target: same(hostApp, 0)},
		},
		Local:    []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("192.0.2.1/32")},
		Services: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
	})
	return h, s, link.Index
}

const (
	tcp, udp, icmp, icmp6 = 6, 17, 1, 58
	eth4, eth6, ethARP    = 0x0800, 0x86dd, 0x0806
	more                  = 0x2000 // fragments
	far, near             = "192.0.2.9", "10.42.7.7"
)

func TestOddPacketsAreNeitherMisreadNorLost(t *testing.T) {
	host, s, link := laboratory(t, abilities(t))
	for _, c := range []struct {
		what   string
		packet []byte
		// At the pod's link and at the uplink, both egress, and at the uplink's ingress.
		pod, host, in uint16
	}{
		{"TCP", frame(eth4, ip4(tcp, far, 0, 0), ports(80, 1)), app, plan.MinorHost, passes},
		{"UDP", frame(eth4, ip4(udp, far, 0, 0), ports(80, 1)), pod1, hostApp, passes},
		{"TCP that stays", frame(eth4, ip4(tcp, near, 0, 0), ports(80, 1)), appLocal, plan.MinorHost, passes},
		{"DNS", frame(eth4, ip4(udp, far, 0, 0), ports(1, 53)), pod1, plan.MinorNames, passes},
		{"options", frame(eth4, ip4(tcp, far, 3, 0), ports(80, 1)), app, plan.MinorHost, passes},
		{"most options", frame(eth4, ip4(tcp, far, 10, 0), ports(80, 1)), app, plan.MinorHost, passes},
		{"options that look like ports", frame(eth4, ip4(tcp, far, 1, 0)[:20], ports(80, 53), ports(1, 1)), pod1, plan.MinorHost, passes},
		{"options beyond the end", frame(eth4, ip4(tcp, far, 10, 0)[:20], ports(80, 1)), pod1, plan.MinorHost, plan.MinorHost},
		{"a header of 16 bytes", frame(eth4, []byte{0x44}, ip4(tcp, far, 0, 0)[1:], ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"the first fragment", frame(eth4, ip4(tcp, far, 0, more), ports(80, 1)), app, plan.MinorHost, passes},
		{"a later fragment", frame(eth4, ip4(tcp, far, 0, more|1), ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"a later fragment that stays", frame(eth4, ip4(tcp, near, 0, 0x1fff), ports(80, 53)), pod1Local, plan.MinorHost, passes},
		{"may not be fragmented", frame(eth4, ip4(tcp, far, 0, 0x4000), ports(80, 1)), app, plan.MinorHost, passes},
		{"ICMP", frame(eth4, ip4(icmp, far, 0, 0), ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"ICMP that stays", frame(eth4, ip4(icmp, near, 0, 0), ports(80, 53)), pod1Local, plan.MinorHost, passes},
		{"a later fragment to the host", frame(eth4, ip4(udp, "192.0.2.1", 0, more|1), ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"ICMP to the host", frame(eth4, ip4(icmp, "192.0.2.1", 0, 0), ports(80, 53)), pod1Local, plan.MinorHost, plan.MinorHost},
		{"no ports", frame(eth4, ip4(tcp, far, 0, 0)), pod1, plan.MinorHost, plan.MinorHost},
		{"half of the ports", frame(eth4, ip4(tcp, far, 0, 0), ports(80, 53)[:3]), pod1, plan.MinorHost, plan.MinorHost},
		{"only the ports", frame(eth4, ip4(tcp, far, 0, 0), ports(80, 1)[:4]), app, plan.MinorHost, passes},
		{"IPv6 that says it is IPv4", frame(eth4, ip6(tcp), ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"IPv4 that says it is IPv6", frame(eth6, ip4(tcp, far, 0, 0), ports(80, 53), ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"IPv6 TCP", frame(eth6, ip6(tcp), ports(80, 1)), app, plan.MinorHost, passes},
		{"IPv6 UDP", frame(eth6, ip6(udp), ports(1, 53)), pod1, plan.MinorNames, passes},
		{"IPv6 with an extension", frame(eth6, ip6(0), []byte{tcp, 0, 0, 0, 0, 0, 0, 0}, ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"an IPv6 fragment", frame(eth6, ip6(44), []byte{tcp, 0, 0, 1, 0, 0, 0, 0}, ports(80, 53)), pod1, plan.MinorHost, plan.MinorHost},
		{"IPv6 without ports", frame(eth6, ip6(udp), []byte{0}), pod1, plan.MinorHost, plan.MinorHost},
		{"a neighbour's question", frame(eth6, ip6(icmp6), []byte{135}, make([]byte, 23)), pod1, passes, passes},
		{"a neighbour's answer", frame(eth6, ip6(icmp6), []byte{136}, make([]byte, 23)), pod1, passes, passes},
		{"IPv6 ping", frame(eth6, ip6(icmp6), []byte{128}, make([]byte, 7)), pod1, plan.MinorHost, plan.MinorHost},
		{"ICMPv6 without a type", frame(eth6, ip6(icmp6)), pod1, plan.MinorHost, plan.MinorHost},
		{"ARP", frame(ethARP, make([]byte, 28)), passes, plan.MinorHost, passes},
		{"two VLANs", frame(0x8100, []byte{0x40, 1, 8, 0}, ip4(tcp, far, 0, 0), ports(80, 53)), pod1, plan.MinorHost, passes},
		{"something else", frame(0x88cc, make([]byte, 60)), pod1, plan.MinorHost, passes},
	} {
		host.Do(func() {
			for h, want := range map[Hook]uint16{PodEgress: c.pod, HostEgress: c.host, HostIngress: c.in} {
				p := c.packet
				if h == HostIngress {
					p = turned(p)
				}
				if got := classOf(t, s, h, link, p); got != want {
					t.Errorf("%s: %s has class %x, want %x", h, c.what, got, want)
				}
			}
			if got := classOf(t, s, PodEgress, 1, c.packet); got != passes {
				t.Errorf("%s at another link has class %x", c.what, got)
			}
		})
	}
}

// turned has the addresses of an IPv4 header the other way round, wherever it
// is one, so that the far end is the sender.
func turned(packet []byte) []byte {
	out := slices.Clone(packet)
	if len(out) >= 34 && binary.BigEndian.Uint16(out[12:]) == eth4 && out[23] != 0 {
		copy(out[26:], packet[30:34])
		copy(out[30:], packet[26:30])
		// What stays is for a pod, the rest for the host.
		if netip.AddrFrom4([4]byte(packet[30:34])).String() != near {
			copy(out[30:], []byte{192, 0, 2, 1})
		}
	}
	return out
}

func TestRandomPacketsGetAClassThatExists(t *testing.T) {
	a := abilities(t)
	old := a
	old.layout = layout{}
	for _, a := range []Abilities{a, old, {}} {
		host, s, link := laboratory(t, a)
		r := rand.New(rand.NewPCG(1, 2))
		known := []uint16{passes, pod1, pod1Local, app, appLocal, aux, hostApp, plan.MinorHost, plan.MinorControl, plan.MinorNames}
		host.Do(func() {
			for range 5000 {
				p := randomPacket(r)
				for _, h := range Hooks {
					if got := classOf(t, s, h, link, p); !slices.Contains(known, got) {
						t.Errorf("%s: class %x: % x", h, got, p)
					}
				}
			}
		})
	}
}

// randomPacket is a good one with some wrong bytes and of a wrong length, but
// with all of an IP header: the kernel runs no programs for less.
func randomPacket(r *rand.Rand) []byte {
	ip := [][]byte{ip4(tcp, far, r.IntN(11), 0), ip4(udp, near, 0, uint16(r.Uint32())), ip6(tcp), ip6(byte(r.Uint32())), ip4(udp, "10.43.0.9", r.IntN(2), 0)}[r.IntN(5)]
	p := frame([]uint16{eth4, eth6, ethARP, 0x8100}[r.IntN(4)], ip, ports(uint16(r.IntN(100)), uint16(r.IntN(100))))
	for range r.IntN(4) {
		p[14+r.IntN(len(p)-14)] = byte(r.Uint32())
	}
	least := 14 + 40
	return append(p, make([]byte, 40)...)[:least+r.IntN(len(p))]
}

func BenchmarkClassify(b *testing.B) {
	a := abilities(b)
	s := load(b, a)
	update(b, s, plan.Uplink{
		Index: 1, Only: true,
		Pods:       []plan.PodEntry{{Pod: 1, Link: 1, NetnsID: -1, Target: same(pod1, 0)}}, // lo, where test runs are
		Containers: []plan.ContainerEntry{{Cgroup: 1 << 40, Pod: 1, Target: same(aux, 0)}, {Cgroup: 1 << 41}},
	})
	packet := frame(eth4, ip4(tcp, "127.0.0.1", 0, 0), ports(80, 1), make([]byte, 1400))
	for _, h := range Hooks {
		b.Run(h.String(), func(b *testing.B) {
			_, each, err := s.programs[h].Benchmark(packet, b.N, b.ResetTimer)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(each.Nanoseconds()), "ns/packet")
		})
	}
}
