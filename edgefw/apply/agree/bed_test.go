//go:build namespace

package agree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/apply/conntrack"
	"github.com/kedge-io/kedge/edgefw/apply/nflog"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/nethost"
)

// links are the node's devices, each with a cable to the machine beside it.
var links = []string{"eth0", "kedge0", "kedge-relay"}

// own are the node's addresses; 10.42.0.5 is that of its pod.
var own = []string{"198.51.100.1", "2001:db8:f::1", "10.42.0.1", "10.43.0.10", "10.43.0.1"}

// witness is the NFLOG group of what got past kedge's rules.
const witness = 108

// bed is a node, which is the namespace of the process, and what is beside it.
type bed struct {
	t            *testing.T
	node, beside *nethost.Host
	kernel       *apply.Kernel
	cables       map[string]cable
	raw          map[bool]map[uint32]int // by IPv6 and mark
	tools        []string                // commands that change rules
	saved        string                  // the command that shows them
	ways         map[apply.Way]int

	mu   sync.Mutex
	seen map[key]uint32 // what got past, with its mark
}

type cable struct {
	socket int
	to     *unix.SockaddrLinklayer
	head   [12]byte // of the Ethernet frame: addresses
}

// key is what a packet is recognised by.
type key struct {
	link     string // by which it came
	protocol uint8
	from, to netip.AddrPort
	icmpType uint8
}

func keyOf(p model.Packet) key {
	k := key{protocol: number(p), from: p.From, to: p.To, icmpType: p.ICMPType}
	if p.Direction == model.Ingress {
		k.link = p.Link
	}
	return k
}

// newBed has witnesses behind kedge's jumps in these chains.
func newBed(t *testing.T, v apply.Variant, chains ...string) *bed {
	t.Helper()
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	b := &bed{t: t, node: &nethost.Host{T: t, NS: ns}, beside: nethost.New(t), cables: map[string]cable{},
		raw: map[bool]map[uint32]int{}, ways: map[apply.Way]int{}, seen: map[key]uint32{}}
	b.node.Run("ip link set lo up")
	for _, link := range links {
		nethost.Cable(b.node, link, b.beside, link)
		t.Cleanup(func() { b.node.Run("ip link del " + link) })
		b.plug(link)
	}
	b.address()
	if b.kernel, err = apply.New(apply.Config{Variant: v, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.remove)
	b.openRaw()
	b.programs(v)
	b.establish()
	b.watch(chains)
	return b
}

// address gives the node addresses, and a way to everywhere.
func (b *bed) address() {
	for _, link := range append(links, "all") {
		b.node.Run("sysctl -qw net.ipv4.conf." + link + ".rp_filter=0 net.ipv4.conf." + link + ".send_redirects=0")
	}
	b.node.Run(`
		sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
		ip addr add 198.51.100.1/24 dev eth0; ip addr add 2001:db8:f::1/64 dev eth0 nodad
		ip addr add 10.42.0.1/24 dev kedge0
		ip addr add 10.43.0.10/32 dev lo; ip addr add 10.43.0.1/32 dev lo
		ip route add default dev eth0; ip -6 route add default dev eth0
		ip route add 10.42.0.0/16 dev kedge-relay`)
	b.t.Cleanup(func() {
		b.node.Run("ip addr del 10.43.0.10/32 dev lo; ip addr del 10.43.0.1/32 dev lo")
	})
}

func (b *bed) remove() {
	if err := b.kernel.Remove(context.Background()); err != nil {
		b.t.Error(err)
	}
	_ = b.kernel.Close()
}

// plug opens a socket that puts frames on a cable.
func (b *bed) plug(link string) {
	b.t.Helper()
	device, err := net.InterfaceByName(link)
	if err != nil {
		b.t.Fatal(err)
	}
	b.beside.Do(func() {
		end, err := net.InterfaceByName(link)
		if err != nil {
			b.t.Error(err)
			return
		}
		socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.t.Error(err)
			return
		}
		c := cable{socket: socket, to: &unix.SockaddrLinklayer{Ifindex: end.Index}}
		copy(c.head[:], device.HardwareAddr)
		copy(c.head[6:], end.HardwareAddr)
		b.cables[link] = c
		b.t.Cleanup(func() { _ = unix.Close(socket) })
	})
	if b.t.Failed() {
		b.t.FailNow()
	}
}

// openRaw opens sockets by which the node sends any packet, with kedge's mark and
// without.
func (b *bed) openRaw() {
	for _, v6 := range []bool{false, true} {
		family := map[bool]int{false: unix.AF_INET, true: unix.AF_INET6}[v6]
		b.raw[v6] = map[uint32]int{}
		for _, mark := range []uint32{0, model.LinkMark} {
			s, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			err = errors.Join(err, unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_MARK, int(mark)))
			if err != nil {
				b.t.Fatal(err)
			}
			b.t.Cleanup(func() { _ = unix.Close(s) })
			b.raw[v6][mark] = s
		}
	}
}

// programs are those of the variant. A rule that asks for it makes the kernel
// track connections.
func (b *bed) programs(v apply.Variant) {
	for _, program := range []string{"iptables-" + string(v), "ip6tables-" + string(v)} {
		b.tools = append(b.tools, program+" -w -t mangle")
		b.saved += program + "-save -c -t mangle;"
		b.node.Run(program + " -w -t mangle -A FORWARD -m conntrack --ctstate NEW")
		b.t.Cleanup(func() { b.node.Run(program + " -w -t mangle -F") })
	}
}

// watch puts rules behind those of kedge.
func (b *bed) watch(chains []string) {
	for _, tool := range b.tools {
		for _, chain := range chains {
			b.node.Run(tool + " -A " + chain + " -j NFLOG --nflog-group 108; " + tool + " -A " + chain + " -j DROP")
		}
	}
	reader, err := nflog.Open(witness)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		_ = reader.Run(ctx, b.see)
	}()
}

// establish lets flows begin while nobody minds, which then stay.
func (b *bed) establish() {
	b.node.Run("sysctl -qw net.netfilter.nf_conntrack_udp_timeout=3600 net.netfilter.nf_conntrack_udp_timeout_stream=3600")
	for _, p := range flows() {
		if err := b.send(p); err != nil {
			b.t.Fatal(err)
		}
		// The answer finds the entry that the first packet made; both may be on
		// their way for a moment.
		testx.Eventually(b.t, 20*time.Second, "the flow's entry", func(context.Context) error {
			if err := b.send(answer(p)); err != nil {
				return err
			}
			return b.established(p)
		})
	}
}

// established finds a flow that was answered.
func (b *bed) established(p model.Packet) error {
	table, err := conntrack.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	list, err := table.Flows()
	for _, f := range list {
		if f.From == p.From && f.To == p.To && f.Answered {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("%s is not among %d flows", words(p), len(list)))
}

func (b *bed) see(p nflog.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[key{link: p.In, protocol: p.Protocol, from: p.From, to: p.To, icmpType: p.ICMPType}] = p.Mark
}

// send brings a packet to the rules.
func (b *bed) send(p model.Packet) error {
	data := datagram(p)
	if p.Direction == model.Egress {
		err := unix.Sendto(b.raw[!p.To.Addr().Is4()][p.Mark], data, 0, sockaddr(p.To.Addr()))
		if errors.Is(err, unix.EPERM) { // dropped
			return nil
		}
		return err
	}
	c := b.cables[p.Link]
	frame := append(c.head[:], 0x08, 0x00)
	if !p.To.Addr().Is4() {
		frame = append(c.head[:], 0x86, 0xdd)
	}
	return unix.Sendto(c.socket, append(frame, data...), 0, c.to)
}
