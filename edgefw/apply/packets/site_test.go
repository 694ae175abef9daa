//go:build namespace

package packets

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netns"

	"github.com/kedge-io/kedge/tests/nethost"
)

// site is the node, which is the process itself, machines outside, one of its
// pods and one of its Docker containers.
type site struct {
	t                          testing.TB
	node, outside, pod, docker *nethost.Host
}

// Those outside, by the last number of their addresses in 192.0.2.0/24 and
// 2001:db8:2::/64.
var outsiders = map[string]int{
	"stranger": 10,
	"friend":   20, // in friends
	"banned":   21, // in friends, but excepted
	"buddy":    22, // in friends
	"listed":   40, // in the AddressSet offices
	"peer":     50, // a node of pool b
	"server":   60, // a server and its node
	"named":    70, // what time.example.org has
	"resolver": 80,
	"clock":    81,
	"admin":    90, // on the list --failsafe
}

// friends are in CIDRs that rules name.
var friends = []netip.Prefix{netip.MustParsePrefix("192.0.2.16/28"), netip.MustParsePrefix("2001:db8:2::10/124")}

// of is the address of an outsider in a family (4 or 6).
func of(who string, family int) netip.Addr {
	n := byte(outsiders[who])
	if family == 4 {
		return netip.AddrFrom4([4]byte{192, 0, 2, n})
	}
	a := netip.MustParseAddr("2001:db8:2::").As16()
	a[15] = n
	return netip.AddrFrom16(a)
}

func both(who string) []netip.Addr { return []netip.Addr{of(who, 4), of(who, 6)} }

// Addresses of the node, of what it offers pods, and of what runs on it.
var here = map[string][2]string{
	"host":     {"192.0.2.1", "2001:db8:2::1"},
	"loopback": {"127.0.0.1", "::1"},
	"gateway":  {"10.42.0.1", ""},
	"dns":      {"10.43.0.10", ""},
	"api":      {"10.43.0.1", ""},
	"service":  {"10.43.0.100", ""}, // its port 80 is the pod's 8080
	"pod":      {"10.42.0.2", ""},
	"bridge":   {"172.17.0.1", "fd00:17::1"},
	"docker":   {"172.17.0.2", "fd00:17::2"},
}

// address is that of a name in a family, false where it has none.
func address(name string, family int) (netip.Addr, bool) {
	if _, ok := outsiders[name]; ok {
		return of(name, family), true
	}
	texts, ok := here[name]
	if !ok {
		panic("no such place: " + name)
	}
	a, err := netip.ParseAddr(texts[(family-4)/2])
	return a, err == nil
}

// newSite builds it. Docker's rules are those of the variant of iptables.
func newSite(t testing.TB, variant string) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, to make network namespaces")
	}
	ns, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	s := &site{t: t, node: &nethost.Host{T: t, NS: ns}, outside: nethost.New(t), pod: nethost.New(t), docker: nethost.New(t)}
	t.Cleanup(s.clear)
	s.wire()
	s.address()
	s.node.Run("nft -f - <<'END'\n" + likeKubeProxy + "END")
	docker := likeDocker + likeDocker6
	s.node.Run(strings.NewReplacer("ip6tables", "ip6tables-"+variant, "iptables", "iptables-"+variant).Replace(docker))
	s.listen()
	return s
}

// clear takes everything out of the node, which lives on.
func (s *site) clear() {
	s.node.Run("for l in eth0 kedge0 docker0; do ip link del $l; done; ip addr flush dev lo; nft flush ruleset; conntrack -F 2>/dev/null" +
		"; for i in iptables-legacy ip6tables-legacy; do $i -t nat -F; $i -t nat -X; done")
}

// quick lets new addresses be used at once, errors of ICMP be as many as there are
// packets, and pings be sent without raw sockets.
const quick = `
	cd /proc/sys/net
	echo 0 > ipv6/conf/default/accept_dad
	echo 0 > ipv4/icmp_ratelimit
	echo 0 > ipv6/icmp/ratelimit
	echo 100000 > ipv4/icmp_msgs_per_sec || true
	echo 10000 > ipv4/icmp_msgs_burst || true
	echo "0 0" > ipv4/ping_group_range
`

func (s *site) wire() {
	for _, h := range []*nethost.Host{s.node, s.outside, s.pod, s.docker} {
		h.Run(quick)
	}
	s.node.Run("ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	nethost.Cable(s.outside, "eth0", s.node, "eth0")
	nethost.Cable(s.pod, "eth0", s.node, "kedge0")
	nethost.Cable(s.docker, "eth0", s.node, "docker0")
}

func (s *site) address() {
	s.node.Run(`ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8:2::1/64 dev eth0 nodad
		ip addr add 127.0.0.1/8 dev lo || true; ip addr add ::1/128 dev lo || true
		ip addr add 10.42.0.1/24 dev kedge0; ip addr add 172.17.0.1/16 dev docker0; ip addr add fd00:17::1/64 dev docker0 nodad
		ip addr add 10.43.0.10/32 dev lo; ip addr add 10.43.0.1/32 dev lo; ip route add default via 192.0.2.10`)
	s.pod.Run("ip addr add 10.42.0.2/24 dev eth0; ip route add default via 10.42.0.1")
	s.docker.Run("ip addr add 172.17.0.2/16 dev eth0; ip addr add fd00:17::2/64 dev eth0 nodad; ip route add default via 172.17.0.1; ip -6 route add default via fd00:17::1")
	var commands strings.Builder
	for who := range outsiders {
		fmt.Fprintf(&commands, "ip addr add %s/24 dev eth0; ip addr add %s/64 dev eth0 nodad; ", of(who, 4), of(who, 6))
	}
	s.outside.Run(commands.String() + `ip route add 10.42.0.0/16 via 192.0.2.1; ip route add 10.43.0.0/16 via 192.0.2.1
		ip route add 172.17.0.0/16 via 192.0.2.1; ip route add fd00:17::/64 via 2001:db8:2::1`)
}

// likeKubeProxy has a cluster service, node ports, host ports and the port of a
// load balancer, which all lead to the pod: the shape is that of kube-proxy's
// nftables mode and of the CNI plugin portmap, marks included.
const likeKubeProxy = `
table ip kube-proxy {
	set nodeport-ips { type ipv4_addr; elements = { 192.0.2.1 } }
	chain masquerading { meta mark & 0x4000 == 0 return; meta mark set meta mark xor 0x4000; masquerade fully-random; }
	chain web { meta l4proto tcp dnat to 10.42.0.2:8080; }
	chain names { meta l4proto udp dnat to 10.42.0.2:5353; }
	chain web-external { meta mark set meta mark or 0x4000; goto web; }
	chain names-external { meta mark set meta mark or 0x4000; goto names; }
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.43.0.100 . tcp . 80 : goto web, 192.0.2.1 . tcp . 8443 : goto web-external }
	}
	map service-nodeports {
		type inet_proto . inet_service : verdict
		elements = { tcp . 30080 : goto web-external, udp . 30053 : goto names-external }
	}
	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}
	chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
table inet cni_hostport {
	chain hostports { tcp dport 8081 dnat ip to 10.42.0.2:8080; }
	chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local jump hostports; }
	chain output { type nat hook output priority -100; fib daddr type local jump hostports; }
}
`

// likeDocker publishes port 9090 of the container's port 80 and 9053 of its 53.
const likeDocker = `
	iptables -t nat -N DOCKER
	iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
	iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 9090 -j DNAT --to-destination 172.17.0.2:80
	iptables -t nat -A DOCKER ! -i docker0 -p udp --dport 9053 -j DNAT --to-destination 172.17.0.2:53
`

const likeDocker6 = `
	ip6tables -t nat -N DOCKER
	ip6tables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	ip6tables -t nat -A POSTROUTING -s fd00:17::/64 ! -o docker0 -j MASQUERADE
	ip6tables -t nat -A DOCKER ! -i docker0 -p tcp --dport 9090 -j DNAT --to-destination [fd00:17::2]:80
	ip6tables -t nat -A DOCKER ! -i docker0 -p udp --dport 9053 -j DNAT --to-destination [fd00:17::2]:53
`
