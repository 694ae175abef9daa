//go:build namespace

package podpackets

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
	"github.com/kedge-io/kedge/tests/nethost"
)

// site is a node, which is the process itself, with three pods on an isolated
// bridge, and a machine with the pods of another node and an address of the world.
type site struct {
	t    testing.TB
	node *nethost.Host
	pods map[string]*nethost.Host
	far  *nethost.Host
}

// addresses of everybody: pods a, b and c are here, d and e elsewhere.
var addresses = map[string]netip.Addr{
	"x/a": netip.MustParseAddr("10.42.0.2"), "x/b": netip.MustParseAddr("10.42.0.3"), "v/c": netip.MustParseAddr("10.42.0.4"),
	"x/d": netip.MustParseAddr("10.42.1.2"), "v/e": netip.MustParseAddr("10.42.1.3"), "out": netip.MustParseAddr("192.0.2.9"),
	"dns": netip.MustParseAddr("10.43.0.10"), "api": netip.MustParseAddr("10.43.0.1"), "service": netip.MustParseAddr("10.43.0.100"),
	"node": netip.MustParseAddr("10.42.0.1"),
}

var here = []string{"x/a", "x/b", "v/c"}

// served are the ports on which everybody answers by TCP and UDP.
var served = []uint16{53, 80, 81, 6444}

// newSite builds it. Where bridged frames pass the rules of IP (br_netfilter), pods
// are joined as kedge does it there.
func newSite(t testing.TB, bridged bool) *site {
	t.Helper()
	port, sysctl := "isolated on", "0"
	if bridged {
		port, sysctl = "hairpin on", "1"
	}
	if os.Geteuid() != 0 {
		t.Skip("missing: root, to make network namespaces")
	}
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	s := &site{t: t, node: &nethost.Host{T: t, NS: ns}, pods: map[string]*nethost.Host{}, far: nethost.New(t)}
	t.Cleanup(func() {
		_, _ = s.node.Try("for l in kedge0 kedge-relay pod0 pod1 pod2; do ip link del $l 2>/dev/null || true; done; ip addr flush dev lo; nft flush ruleset; conntrack -F")
	})
	s.node.Run(`ip link set lo up; ip addr add 127.0.0.1/8 dev lo || true; echo 1 > /proc/sys/net/ipv4/ip_forward
		ip link add kedge0 type bridge; ip link set kedge0 up; ip addr add 10.42.0.1/24 dev kedge0
		ip addr add 10.43.0.10/32 dev lo; ip addr add 10.43.0.1/32 dev lo`)
	if !bridged {
		s.node.Run("echo 1 > /proc/sys/net/ipv4/conf/kedge0/proxy_arp_pvlan")
	}
	s.node.Run("! test -e /proc/sys/net/bridge || echo " + sysctl + " > /proc/sys/net/bridge/bridge-nf-call-iptables")
	for i, name := range here {
		h, link := nethost.New(t), fmt.Sprint("pod", i)
		s.pods[name] = h
		nethost.Cable(h, "eth0", s.node, link)
		s.node.Run("ip link set " + link + " master kedge0; bridge link set dev " + link + " " + port)
		h.Run("ip addr add " + addresses[name].String() + "/24 dev eth0; ip route add default via 10.42.0.1")
		s.listen(h, "0.0.0.0")
	}
	nethost.Cable(s.far, "eth0", s.node, "kedge-relay")
	s.node.Run("ip addr add 192.0.2.1/24 dev kedge-relay; ip route add 10.42.1.0/24 via 192.0.2.9")
	s.far.Run("ip addr add 192.0.2.9/24 dev eth0; ip addr add 10.42.1.2/32 dev lo; ip addr add 10.42.1.3/32 dev lo; ip route add default via 192.0.2.1")
	for _, name := range []string{"x/d", "v/e", "out"} {
		s.listen(s.far, addresses[name].String()) // datagrams are answered from where they came to
	}
	s.listen(s.node, "10.43.0.10")
	s.listen(s.node, "10.43.0.1")
	s.node.Run("nft -f - <<'END'\n" + likeKedge + "END")
	return s
}

// likeKedge is a service of pod a, and the addresses that are exempt from
// connection tracking, one with a rewritten port.
const likeKedge = `
table ip kube-proxy {
	chain prerouting { type nat hook prerouting priority dstnat; ip daddr 10.43.0.100 tcp dport 80 dnat to 10.42.0.2:81; }
	chain postrouting { type nat hook postrouting priority srcnat; ip saddr 10.42.0.2 ip daddr 10.42.0.2 masquerade; }
}
table ip kedge-api {
	chain in {
		type filter hook prerouting priority raw;
		ip daddr 10.43.0.10 notrack
		ip daddr 10.43.0.1 tcp dport 443 tcp dport set 6444 notrack
	}
	chain out {
		type filter hook output priority raw;
		ip saddr 10.43.0.10 notrack
		ip saddr 10.43.0.1 tcp sport 6444 tcp sport set 443 notrack
	}
}
`

// listen answers on all served ports of an address.
func (s *site) listen(h *nethost.Host, addr string) {
	for _, port := range served {
		at := fmt.Sprintf("%s:%d", addr, port)
		h.Do(func() {
			l, err := net.Listen("tcp", at)
			if err != nil {
				s.t.Error(err)
				return
			}
			s.t.Cleanup(func() { _ = l.Close() })
			go accept(l)
		})
		h.EchoUDP(at)
	}
}

// accept returns what comes, line by line or not.
func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 64)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				_, _ = c.Write(buf[:n])
			}
		}()
	}
}

func (s *site) host(name string) *nethost.Host {
	if h, ok := s.pods[name]; ok {
		return h
	}
	if name == "node" {
		return s.node
	}
	return s.far
}

// passes tells whether a packet is answered. The kernel refuses nothing here.
func (s *site) passes(p packet, wait time.Duration) (ok bool) {
	s.host(p.from).Do(func() {
		c, err := s.dial(p, wait)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if _, err := c.Write([]byte("hello")); err != nil {
			return
		}
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		ok = err == nil && string(buf[:n]) == "hello"
	})
	return ok
}

func (s *site) dial(p packet, wait time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: wait}
	if from := addresses[p.from]; p.from != "node" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		if p.protocol == model.UDP {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
	}
	return d.Dial(string(p.protocol), netip.AddrPortFrom(addresses[p.to], p.port).String())
}

// packet is the first one of a flow.
type packet struct {
	from, to string
	protocol model.Protocol
	port     uint16
}

func (p packet) String() string {
	return fmt.Sprintf("%s > %s:%d/%s", p.from, p.to, p.port, p.protocol)
}

// enforced is a site with policies.
type enforced struct {
	*site
	kernel  *apply.Kernel
	wish    apply.Wish
	variant apply.Variant
}

func newKernel(t testing.TB, v apply.Variant) *apply.Kernel {
	t.Helper()
	k, err := apply.New(apply.Config{Log: slog.New(slog.DiscardHandler), Variant: v})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(apply.RemoveAll(t.Context()), k.Close()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return k
}

// pods are those that policies are about.
func pods() []netpol.Pod {
	var all []netpol.Pod
	for name, node := range map[string]string{"x/a": "here", "x/b": "here", "v/c": "here", "x/d": "there", "v/e": "there"} {
		web := uint16(80)
		if name == "x/b" {
			web = 81
		}
		all = append(all, netpol.Pod{
			UID: name, Namespace: name[:1], Name: name[2:], Node: node, Labels: map[string]string{"pod": name[2:]},
			Addresses: []netip.Addr{addresses[name]}, Ports: []netpol.NamedPort{{Name: "web", Protocol: model.TCP, Port: web}},
		})
	}
	return all
}

func wishFor(policies string, t testing.TB) apply.Wish {
	compiled := netpol.Compile(netpol.Input{
		Pods: pods(), Policies: read(t, policies), DNS: addresses["dns"], API: addresses["api"], APIPorts: []uint16{443, 6444},
		Namespaces: map[string]map[string]string{"x": {"ns": "x"}, "v": {"ns": "v"}, "kube-system": {"ns": "kube-system"}},
	})
	r := compiled.Of("here")
	local := plan.Local{Pods: map[string][]netip.Addr{}, Addresses: []netip.Addr{addresses["node"], addresses["dns"], addresses["api"]}}
	for _, name := range here {
		local.Pods[name] = []netip.Addr{addresses[name]}
	}
	return apply.Wish{
		Ruleset: &model.Ruleset{Pods: r.Rules, Sets: r.Sets}, Local: local,
		Facts: model.Facts{
			PodRange: netip.MustParsePrefix("10.42.0.0/24"), PodLink: "kedge0", RelayLink: "kedge-relay",
			Services: netip.MustParsePrefix("10.43.0.0/16"), ClusterDNS: addresses["dns"], API: addresses["api"], APIPorts: []uint16{443, 6444},
		},
	}
}

func (e *enforced) apply(w apply.Wish) apply.Result {
	e.t.Helper()
	r, err := e.kernel.Apply(e.t.Context(), w)
	if err != nil {
		e.t.Fatal(err)
	}
	e.wish = w
	return r
}

// says is what the rules say for people.
func (e *enforced) says(p packet) model.Decision {
	return plan.Decide(e.wish.Ruleset, e.wish.Facts, e.wish.Local, model.Packet{
		Direction: model.Ingress, Protocol: p.protocol,
		From: netip.AddrPortFrom(addresses[p.from], 40000), To: netip.AddrPortFrom(addresses[p.to], p.port),
	})
}

// each runs a test with both variants of iptables, and with frames that pass the
// rules of IP where the kernel has br_netfilter.
func each(t *testing.T, test func(t *testing.T, e *enforced)) {
	run := func(name string, v apply.Variant, bridged bool) {
		t.Run(name, func(t *testing.T) {
			test(t, &enforced{site: newSite(t, bridged), kernel: newKernel(t, v), variant: v})
		})
	}
	run("legacy", apply.Legacy, false)
	run("nft", apply.NFT, false)
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err == nil {
		run("bridged", apply.NFT, true)
	}
}
