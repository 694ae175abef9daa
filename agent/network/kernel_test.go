//go:build namespace

package network

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tests/nethost"
)

// site is a LAN with two nodes and a machine outside of the cluster, which is
// also the gateway.
type site struct {
	a, b    *node
	outside *host
}

func newSite(t *testing.T) *site {
	s := &site{a: newNode(t), b: newNode(t), outside: newHost(t)}
	if t.Failed() {
		t.FailNow()
	}
	s.outside.Run("ip link add lan type bridge; ip link set lan up; ip addr add 192.0.2.254/24 dev lan")
	nethost.Cable(s.outside.Host, "to-a", s.a.host.Host, "eth0")
	nethost.Cable(s.outside.Host, "to-b", s.b.host.Host, "eth0")
	s.outside.Run("ip link set to-a master lan; ip link set to-b master lan")
	s.a.Run("ip addr add 192.0.2.1/24 dev eth0; ip route add default via 192.0.2.254")
	s.b.Run("ip addr add 192.0.2.2/24 dev eth0; ip route add default via 192.0.2.254")
	return s
}

// onLinkPeers takes every peer with an address on a subnet of the host for near.
func onLinkPeers(f Facts) map[string]Path {
	direct := map[string]Path{}
	for _, p := range f.Peers {
		for _, addr := range p.Addresses {
			if u, ok := onLink(f.Uplinks, addr); ok {
				direct[p.Name] = Path{Gateway: addr, Link: u.Name}
			}
		}
	}
	return direct
}

func factsA(peers ...Peer) Facts {
	return Facts{PodCIDR: netip.MustParsePrefix("10.42.0.0/24"), Peers: peers}
}

func factsB(peers ...Peer) Facts {
	return Facts{PodCIDR: netip.MustParsePrefix("10.42.1.0/24"), Peers: peers}
}

var (
	peerA = peer("a", "10.42.0.0/24", "192.0.2.1")
	peerB = peer("b", "10.42.1.0/24", "192.0.2.2")
	peerC = peer("c", "10.42.2.0/24", "203.0.113.9")
)

func TestPodsReachEveryKindOfPeerWithTheRightAddress(t *testing.T) {
	s := newSite(t)
	s.a.apply(factsA(peerB, peerC))
	s.b.apply(factsB(peerA))
	pod1 := s.a.addPod("1", "10.42.0.5", "10.42.0.1")
	pod2 := s.a.addPod("2", "10.42.0.6", "10.42.0.1")
	pod3 := s.b.addPod("3", "10.42.1.5", "10.42.1.1")
	for _, h := range []*host{pod1, pod2, pod3, s.outside, s.a.host, s.b.host} {
		h.answer(":80")
	}
	want(t, "pod to outside", pod1.ask("192.0.2.254:80"), "192.0.2.1")
	want(t, "pod to pod of another node", pod1.ask("10.42.1.5:80"), "10.42.0.5")
	want(t, "and back", pod3.ask("10.42.0.5:80"), "10.42.1.5")
	want(t, "pod to pod of its node", pod1.ask("10.42.0.6:80"), "10.42.0.5")
	want(t, "pod to its host", pod1.ask("192.0.2.1:80"), "10.42.0.5")
	want(t, "host to its pod", s.a.ask("10.42.0.5:80"), "10.42.0.1")
	want(t, "host to pod of another node", s.a.ask("10.42.1.5:80"), "10.42.0.1")
	want(t, "pod to another node", pod1.ask("10.42.1.1:80"), "10.42.0.5")
	if got := pod1.ask("10.42.2.5:80"); !strings.Contains(got, "no route to host") {
		t.Errorf("pod to a node of another site: %q, want no route to host rather than a leak by the default route", got)
	}
}

// Replies of an endpoint on the same node must pass the host, which alone knows
// the translation.
func TestServiceWithEndpointOnTheSameNodeAnswersWhateverBridgeFilterDoes(t *testing.T) {
	const filter = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if _, err := os.Stat(filter); err != nil {
		t.Skip("missing: br_netfilter, to switch it on and off")
	}
	for _, switches := range []string{"0", "1", "01"} { // the last one under running pods
		s := newSite(t)
		s.a.Run("echo " + switches[:1] + " > " + filter)
		s.a.apply(factsA())
		s.a.Run(`nft 'table ip service { chain p { type nat hook prerouting priority dstnat; ip daddr 10.43.0.99 dnat to 10.42.0.6; }; }'`)
		pod1 := s.a.addPod("1", "10.42.0.5", "10.42.0.1")
		pod2 := s.a.addPod("2", "10.42.0.6", "10.42.0.1")
		pod2.answer(":80")
		for _, on := range switches {
			s.a.Run("echo " + string(on) + " > " + filter)
			s.a.apply(factsA())
			want(t, "pod to service, bridge filter "+switches, pod1.ask("10.43.0.99:80"), "10.42.0.5")
			want(t, "pod to pod, bridge filter "+switches, pod1.ask("10.42.0.6:80"), "10.42.0.5")
		}
	}
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	s := newSite(t)
	s.a.apply(factsA(peerB))
	first := s.a.state()
	contains(t, "state", first, "10.42.1.0/24 via 192.0.2.2 dev eth0 proto 107", "unreachable 10.42.0.0/16", "masquerade fully-random")
	s.a.apply(factsA(peerB))
	want(t, "state after the second run", s.a.state(), first)
	s.a.k = kernel{} // as after a restart
	s.a.apply(factsA(peerB))
	want(t, "state after adoption", s.a.state(), first)
}

func TestApplyRepairsWhatWasBrokenOrLeftHalfDone(t *testing.T) {
	s := newSite(t)
	s.a.apply(factsA(peerB))
	good := s.a.state()
	breakages := map[string]string{
		"flushed by a firewall":      "nft flush ruleset",
		"rule removed":               "nft flush chain inet kedge-net postrouting",
		"bridge removed":             "ip link del kedge0",
		"crash after link":           "ip link del kedge0; ip link add kedge0 type bridge; nft flush ruleset; ip route flush proto 107",
		"routes removed":             "ip route flush proto 107",
		"rules of another version":   "nft 'add rule inet kedge-net postrouting counter'",
		"route of a node that left":  "ip route add 10.42.9.0/24 via 192.0.2.2 metric 107 proto 107",
		"route with another gateway": "ip route replace 10.42.1.0/24 via 192.0.2.254 metric 107 proto 107",
		"address of a former range":  "ip addr add 10.42.77.1/24 dev kedge0",
		"sysctl changed":             "echo 0 > /proc/sys/net/ipv4/conf/kedge0/proxy_arp_pvlan",
	}
	for name, command := range breakages {
		s.a.Run(command)
		s.a.apply(factsA(peerB))
		want(t, name, s.a.state(), good)
	}
}

func TestRouteGoesWithItsNodeAndForeignRoutesStay(t *testing.T) {
	s := newSite(t)
	s.a.Run("ip route add 10.42.1.0/24 via 192.0.2.254 metric 5; ip route add 10.42.8.0/24 via 192.0.2.254")
	s.a.apply(factsA(peerB))
	contains(t, "routes", s.a.Run("ip route"), "10.42.1.0/24 via 192.0.2.2", "10.42.1.0/24 via 192.0.2.254", "10.42.8.0/24")
	s.a.apply(factsA())
	routes := s.a.Run("ip route")
	contains(t, "routes", routes, "10.42.1.0/24 via 192.0.2.254", "10.42.8.0/24")
	if strings.Contains(routes, "via 192.0.2.2 ") {
		t.Errorf("the route to a node that left is still there:\n%s", routes)
	}
}

const foreignRules = `
table inet foreign {
	set s { type ipv4_addr; elements = { 192.0.2.77, 192.0.2.78 }; }
	chain input { type filter hook input priority filter; policy accept; ip saddr @s drop comment "keep me"; };
}
table ip nat2 { chain postrouting { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.17.0.0/16 masquerade; }; }
`

func TestRemoveAllLeavesTheHostAsItWas(t *testing.T) {
	s := newSite(t)
	s.a.Run("cat <<'X' | nft -f -\n" + foreignRules + "X\niptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 172.17.0.0/16 -j ACCEPT; echo 1 > /proc/sys/net/ipv4/ip_forward")
	s.a.Run("ip link add mybr type bridge; ip route add 10.88.0.0/16 via 192.0.2.254")
	before := s.a.state()
	s.a.apply(factsA(peerB))
	s.a.addPod("1", "10.42.0.5", "10.42.0.1")
	s.a.Run(`nft 'table ip kube-proxy { chain x { }; }; table ip6 kube-proxy { chain x { }; };
		table ip cni_hostport { chain hostports { tcp dport 80 dnat to 10.42.0.5:80 comment "id"; }; };'`)
	contains(t, "iptables", s.a.Run("iptables-nft -S FORWARD"), "-A FORWARD -j KEDGE-FORWARD")
	s.a.removeAll()
	want(t, "state after removal", s.a.state(), before)
	s.a.removeAll()
	want(t, "state after a second removal", s.a.state(), before)
}

func TestPodTrafficPassesAForwardPolicyOfDrop(t *testing.T) {
	for _, program := range []string{"iptables-nft", "iptables-legacy"} {
		t.Run(program, func(t *testing.T) {
			s := newSite(t)
			s.a.Run(program + " -P FORWARD DROP")
			s.a.apply(factsA())
			rules := s.a.Run(program + " -S")
			s.a.apply(factsA())
			want(t, "rules after the second run", s.a.Run(program+" -S"), rules)
			pod := s.a.addPod("1", "10.42.0.5", "10.42.0.1")
			s.outside.answer(":80")
			want(t, "pod to outside", pod.ask("192.0.2.254:80"), "192.0.2.1")
			s.a.removeAll()
			want(t, "rules after removal", s.a.Run(program+" -S"), "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n")
		})
	}
}

func TestHostWithoutIptablesTablesGetsNone(t *testing.T) {
	s := newSite(t)
	s.a.apply(factsA())
	if rules := s.a.Run("nft list tables"); strings.Contains(rules, "filter") {
		t.Errorf("an iptables table appeared:\n%s", rules)
	}
}

func TestForeignLinkOfOurNameIsNotTaken(t *testing.T) {
	n := newNode(t)
	n.Run("ip link add kedge0 type veth peer name other")
	n.Do(func() {
		plan, err := NewPlan(n.cfg, factsA())
		if err != nil {
			t.Error(err)
			return
		}
		err = n.k.apply(context.Background(), n.cfg, plan)
		if err == nil || !strings.Contains(err.Error(), "ip link delete kedge0") {
			t.Errorf("error %v, want one with the remedy", err)
		}
	})
}
