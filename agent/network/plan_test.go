package network

import (
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "write golden files anew")

func testConfig() Config {
	return Config{
		NodeName: "a", ClusterCIDR: netip.MustParsePrefix("10.42.0.0/16"), Kubeconfig: "/k",
		ConfDir: "/d/net.d", StateDir: "/d/state",
	}
}

func peer(name, pods, address string) Peer {
	return Peer{Name: name, PodCIDR: netip.MustParsePrefix(pods), Address: netip.MustParseAddr(address)}
}

func uplink(name string, addrs ...string) Uplink {
	u := Uplink{Name: name}
	for _, a := range addrs {
		u.Addresses = append(u.Addresses, netip.MustParsePrefix(a))
	}
	return u
}

func TestPlanIsAsInTheGoldenFile(t *testing.T) {
	cases := map[string]Facts{
		"alone": {PodCIDR: netip.MustParsePrefix("10.42.0.0/24")},
		"peers": {
			PodCIDR: netip.MustParsePrefix("10.42.1.0/24"),
			MTU:     1400, BridgeFilter: true,
			Uplinks: []Uplink{uplink("eth0", "192.0.2.1/24"), uplink("lan0", "198.51.100.7/28", "192.0.2.65/26")},
			Peers: []Peer{
				peer("same-subnet", "10.42.3.0/24", "192.0.2.2"),
				peer("narrower-subnet", "10.42.2.0/24", "192.0.2.66"),
				peer("elsewhere", "10.42.4.0/24", "203.0.113.1"),
				peer("own-address", "10.42.5.0/24", "192.0.2.1"),
				peer("own-range", "10.42.1.0/24", "192.0.2.9"),
				peer("foreign-range", "10.99.1.0/24", "192.0.2.9"),
			},
		},
	}
	for name, facts := range cases {
		t.Run(name, func(t *testing.T) {
			plan, err := NewPlan(testConfig(), facts)
			if err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + name + ".txt"
			if *update {
				if err := os.WriteFile(file, []byte(plan.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := plan.String(); got != string(want) {
				t.Errorf("plan differs from %s (run with -update to write it):\n%s", file, got)
			}
		})
	}
}

func TestPlanRefusesRangesThatCannotWork(t *testing.T) {
	for cidr, want := range map[string]string{
		"10.99.0.0/24": "outside of cluster-cidr",
		"10.0.0.0/8":   "outside of cluster-cidr",
		"10.42.0.0/31": "at least 4 addresses",
		"fd00::/64":    "IPv4",
	} {
		_, err := NewPlan(testConfig(), Facts{PodCIDR: netip.MustParsePrefix(cidr)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pod range %s: error %v, want one with %q", cidr, err, want)
		}
	}
	if _, err := NewPlan(testConfig(), Facts{}); err == nil {
		t.Error("a node without pod range got a plan")
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	err := Config{ClusterCIDR: netip.MustParsePrefix("fd00::/56")}.Validate()
	for _, want := range []string{"node name", "kubeconfig", "state directory", "cluster-cidr"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	if err := testConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestNodesBecomePeers(t *testing.T) {
	node := func(name, cidr string, addrs ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"x": "y"}}}
		n.Spec.PodCIDR, n.Spec.PodCIDRs = cidr, []string{cidr}
		n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
		for _, a := range addrs {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		slimmed, err := slim(n)
		if err != nil {
			t.Fatal(err)
		}
		return slimmed.(*corev1.Node)
	}
	if n := node("n", "10.42.0.0/24"); n.Labels != nil || n.Status.Images != nil {
		t.Error("the cache keeps more of a node than it needs")
	}
	got := knownFrom("a", []*corev1.Node{
		node("c", "10.42.2.0/24", "fd00::1", "192.0.2.3"),
		node("a", "10.42.0.0/24", "192.0.2.1"),
		node("b", "10.42.1.0/24", "192.0.2.2"),
		node("without-range", "", "192.0.2.4"),
		node("without-address", "10.42.5.0/24"),
	})
	if got.PodCIDR != netip.MustParsePrefix("10.42.0.0/24") || len(got.Peers) != 2 ||
		got.Peers[0] != peer("b", "10.42.1.0/24", "192.0.2.2") || got.Peers[1] != peer("c", "10.42.2.0/24", "192.0.2.3") {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyPortMappingsOfOurPodsAreOurs(t *testing.T) {
	const listing = `table ip cni_hostport { # handle 3
	comment "CNI portmap plugin"
	chain hostports { # handle 1
		tcp dport 8080 dnat to 10.42.0.5:80 comment "aaa" # handle 7
		ip daddr 192.0.2.1 udp dport 53 dnat to 10.42.0.6:53 comment "bbb" # handle 8
		tcp dport 9090 dnat to 10.88.0.5:80 comment "ccc" # handle 9
	}
	chain masquerading { # handle 4
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.42.0.5 ip daddr 10.42.0.5 masquerade comment "aaa" # handle 10
		ip saddr 127.0.0.1 ip daddr 10.42.0.5 masquerade comment "aaa" # handle 11
	}
	chain prerouting { # handle 6
		fib daddr type local jump hostports # handle 12
	}
}
`
	own, foreign := portMappings(listing, netip.MustParsePrefix("10.42.0.0/24"))
	want := []mappingRule{{"hostports", "7"}, {"hostports", "8"}, {"masquerading", "10"}, {"masquerading", "11"}}
	if !foreign || len(own) != len(want) {
		t.Fatalf("own %v, foreign %v", own, foreign)
	}
	for i := range want {
		if own[i] != want[i] {
			t.Errorf("own[%d] = %v, want %v", i, own[i], want[i])
		}
	}
}
