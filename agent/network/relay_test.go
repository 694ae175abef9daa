//go:build namespace

package network

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/tests/nethost"
)

// tun makes the relay's device on a host.
func (h *host) tun() *os.File {
	h.T.Helper()
	var file *os.File
	h.Do(func() {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			h.T.Errorf("opening /dev/net/tun: %v", err)
			return
		}
		request, err := unix.NewIfreq(RelayName)
		check(h.T, err)
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		check(h.T, unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
		file = os.NewFile(uintptr(fd), "tun")
	})
	if h.T.Failed() {
		h.T.FailNow()
	}
	h.Run("ip link set " + RelayName + " up")
	h.T.Cleanup(func() { file.Close() })
	return file
}

// relay carries the packets between two hosts.
func relay(a, b *host) {
	one, other := a.tun(), b.tun()
	pump := func(from, to *os.File) {
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			_, _ = to.Write(buf[:n])
		}
	}
	go pump(one, other)
	go pump(other, one)
}

// newApart makes two nodes whose sites have the same addresses and no way to
// each other than the relay.
func newApart(t *testing.T, ports ...HostPort) (a, b *node) {
	a, b = newNode(t), newNode(t)
	for _, n := range []*node{a, b} {
		gateway := newHost(t)
		nethost.Cable(gateway.Host, "lan", n.host.Host, "eth0")
		gateway.Run("ip addr add 192.0.2.254/24 dev lan")
		n.Run("ip addr add 192.0.2.1/24 dev eth0; ip route add default via 192.0.2.254; echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter")
		gateway.answer(":80")
	}
	relay(a.host, b.host)
	fa, fb := factsA(peerB), factsB(peerA)
	fa.HostPorts, fa.Direct, fb.Direct = ports, map[string]Path{}, map[string]Path{}
	a.apply(fa)
	b.apply(fb)
	return a, b
}

func TestRelayedPodsAndHostsReachEachOtherWithTheirClusterAddresses(t *testing.T) {
	a, b := newApart(t, HostPort{"tcp", 81})
	pod1 := a.addPod("1", "10.42.0.5", "10.42.0.1")
	pod2 := b.addPod("2", "10.42.1.5", "10.42.1.1")
	for _, h := range []*host{pod1, pod2, a.host} {
		h.answer(":80")
		h.answer(":81")
	}
	want(t, "pod to pod of another site", pod1.ask("10.42.1.5:80"), "10.42.0.5")
	want(t, "and back", pod2.ask("10.42.0.5:80"), "10.42.1.5")
	want(t, "host to pod of another site", a.ask("10.42.1.5:80"), "10.42.0.1")
	want(t, "pod to the outside", pod1.ask("192.0.2.254:80"), "192.0.2.1")
	contains(t, "large pings", pod1.Run("ping -c1 -W3 -s 1400 -M do 10.42.1.5; ping -c1 -W3 10.42.1.1"), "1 received")

	want(t, "declared port of the host", pod2.ask("10.42.0.1:81"), "10.42.1.5")
	want(t, "declared port of the host, from a host", b.ask("10.42.0.1:81"), "10.42.1.1")
	want(t, "every port from pods of the node", pod1.ask("10.42.0.1:80"), "10.42.0.5")
}

func TestOtherSitesReachNothingElseOfTheHost(t *testing.T) {
	a, b := newApart(t)
	pod := b.addPod("2", "10.42.1.5", "10.42.1.1")
	for _, at := range []string{"10.42.0.1", "192.0.2.1"} {
		a.answer(at + ":22")
	}
	quick := "exec 3<>/dev/tcp/%s/22 && cat <&3"
	for _, from := range []*host{pod, b.host} {
		out := from.Run("timeout 1 bash -c '" + fmt.Sprintf(quick, "10.42.0.1") + "' || echo refused $?")
		contains(t, "undeclared port", out, "refused 124")
	}
	// A router that was taken over sends what its own routes would not.
	b.Run("ip route add 192.0.2.253/32 dev kedge-relay; ip route add 192.0.2.2/32 dev kedge-relay src 192.0.2.1")
	for _, at := range []string{"192.0.2.253", "192.0.2.2"} {
		contains(t, "the site behind the node "+at, b.Run("timeout 1 ping -c1 "+at+" || echo none"), "none")
	}
	rules := a.Run("nft list table inet kedge-net")
	for _, comment := range []string{"nothing else comes from the relay", "other sites reach nothing else of this host"} {
		for line := range strings.Lines(rules) {
			if strings.Contains(line, comment) && strings.Contains(line, "packets 0 ") {
				t.Errorf("not counted: %s", line)
			}
		}
	}
}

func TestServicesWorkAcrossTheRelay(t *testing.T) {
	a, b := newApart(t)
	pod1 := a.addPod("1", "10.42.0.5", "10.42.0.1")
	pod2 := b.addPod("2", "10.42.1.5", "10.42.1.1")
	pod2.answer(":80")
	// As kube-proxy writes it for a service and its node port.
	for _, n := range []*node{a, b} {
		n.Run(`nft 'table ip kube-proxy {
			chain pre { type nat hook prerouting priority dstnat; jump services; };
			chain out { type nat hook output priority -100; jump services; };
			chain services {
				ip daddr 10.43.0.99 tcp dport 80 ip saddr != 10.42.0.0/16 meta mark set meta mark | 0x4000;
				ip daddr 10.43.0.99 tcp dport 80 dnat to 10.42.1.5;
				fib daddr type local tcp dport 30080 meta mark set meta mark | 0x4000;
				fib daddr type local tcp dport 30080 dnat to 10.42.1.5:80;
			};
			chain post { type nat hook postrouting priority srcnat; meta mark & 0x4000 == 0 return; meta mark set meta mark ^ 0x4000; masquerade fully-random; };
		}' 2>&1`)
	}
	want(t, "pod to service", pod1.ask("10.43.0.99:80"), "10.42.0.5")
	want(t, "host to service", a.ask("10.43.0.99:80"), "10.42.0.1")
	want(t, "pod to node port of its node", pod1.ask("10.42.0.1:30080"), "10.42.0.1")
	want(t, "pod to node port of the other site", pod1.ask("10.42.1.1:30080"), "10.42.1.1")
	want(t, "host to node port of the other site", a.ask("10.42.1.1:30080"), "10.42.1.1")
	want(t, "node port at the address of the site", pod1.ask("192.0.2.1:30080"), "10.42.0.1")
	want(t, "pod to itself through a node port of another site", pod2.ask("10.42.0.1:30080"), "10.42.0.1")
}

func TestPathMovesUnderAConnection(t *testing.T) {
	s := newSite(t)
	relay(s.a.host, s.b.host)
	pod1, pod2 := (*host)(nil), (*host)(nil)
	both := func(direct map[string]Path) {
		fa, fb := factsA(peerB), factsB(peerA)
		fa.Direct, fb.Direct = map[string]Path{}, map[string]Path{}
		if direct != nil {
			fa.Direct["b"], fb.Direct["a"] = path("eth0", "192.0.2.2"), path("eth0", "192.0.2.1")
		}
		s.a.apply(fa)
		s.b.apply(fb)
	}
	both(nil)
	pod1 = s.a.addPod("1", "10.42.0.5", "10.42.0.1")
	pod2 = s.b.addPod("2", "10.42.1.5", "10.42.1.1")
	for name, from := range map[string]*host{"pod": pod1, "host": s.a.host} {
		both(nil)
		echo := pod2.echo("10.42.1.5:7")
		talk := from.talk("10.42.1.5:7")
		want(t, name+" over the relay", talk("one"), "one")
		both(map[string]Path{})
		want(t, name+" direct", talk("two"), "two")
		contains(t, "route", s.a.Run("ip route get 10.42.1.5"), "via 192.0.2.2 dev eth0 src 10.42.0.1")
		both(nil)
		want(t, name+" over the relay again", talk("three"), "three")
		contains(t, "route", s.a.Run("ip route get 10.42.1.5"), "dev kedge-relay src 10.42.0.1")
		echo()
	}
}

func TestRouteComesAndGoesWithTheRelay(t *testing.T) {
	s := newSite(t)
	node := nodeObject("b", "10.42.1.0/24", "203.0.113.1")
	ready, _, stop := startOn(s.a, fake.NewClientset(nodeObject("a", "10.42.0.0/24", "192.0.2.1"), node))
	defer stop()
	await(t, "ready", ready)
	route := func() string { return s.a.Run("ip route get 10.42.1.5 2>&1 || true") }
	contains(t, "route without a relay", route(), "No route to host")
	file := s.a.tun()
	eventually(t, route, "dev kedge-relay src 10.42.0.1", true)
	mtu := func() string { return s.a.Run("ip link show kedge-relay") }
	contains(t, "MTU", mtu(), "mtu 1500")
	want(t, "reverse path filter", s.a.Run("cat /proc/sys/net/ipv4/conf/kedge-relay/rp_filter"), "2\n")
	s.a.Run("ip link set kedge-relay down")
	eventually(t, route, "No route to host", true)
	s.a.Run("ip link set kedge-relay up")
	eventually(t, route, "dev kedge-relay src 10.42.0.1", true)
	file.Close()
	eventually(t, route, "No route to host", true)
}

func TestAddressesOfTheHostAreToldWhenTheyChange(t *testing.T) {
	s := newSite(t)
	c := startedComponent(s.a, fake.NewClientset(nodeObject("a", "10.42.0.0/24", "192.0.2.1")))
	defer c.stop()
	site := func() string { return fmt.Sprint(c.Annotations()) }
	eventually(t, site, "kedge.io/addresses:192.0.2.1 ", true)
	s.a.Run("ip addr add 198.51.100.1/24 dev eth0")
	eventually(t, site, "192.0.2.1,198.51.100.1", true)
	select {
	case <-c.Reannotate():
	case <-time.After(20 * time.Second):
		t.Error("nobody was told")
	}
}
