package network

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/wire"
)

var update = flag.Bool("update", false, "write golden files anew")

func testConfig() Config {
	return Config{
		NodeName: "a", ClusterCIDR: netip.MustParsePrefix("10.42.0.0/16"), Kubeconfig: "/k",
		ConfDir: "/d/net.d", StateDir: "/d/state",
	}
}

func peer(name, pods string, addresses ...string) Peer {
	p := Peer{Name: name, PodCIDR: netip.MustParsePrefix(pods)}
	for _, a := range addresses {
		p.Addresses = append(p.Addresses, netip.MustParseAddr(a))
	}
	return p
}

func path(link, gateway string) Path { return Path{Gateway: netip.MustParseAddr(gateway), Link: link} }

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
			MTU:     1400, BridgeFilter: true, Relay: true,
			Direct: map[string]Path{
				"same-site": path("eth0", "192.0.2.2"), "own-range": path("eth0", "192.0.2.9"),
				"foreign-range": path("eth0", "192.0.2.9"), "same-range": path("eth0", "192.0.2.10"),
				"not-a-peer": path("eth0", "192.0.2.11"),
			},
			HostPorts: []HostPort{{"udp", 53}, {"tcp", 9100}, {"tcp", 80}, {"tcp", 9100}, {"icmp", 1}, {"tcp", 0}},
			Peers: []Peer{
				peer("same-site", "10.42.3.0/24", "192.0.2.2"),
				peer("same-range", "10.42.3.0/24", "192.0.2.10"),
				peer("elsewhere", "10.42.4.0/24", "192.0.2.2"),
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
	node := func(name, cidr, site string, external ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"x": "y"}}}
		n.Annotations = map[string]string{wire.AnnotationAddresses: site, wire.AnnotationProbeKey: base64.StdEncoding.EncodeToString(make([]byte, 32)), "x": "y"}
		n.Spec.PodCIDR, n.Spec.PodCIDRs = cidr, []string{cidr}
		n.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.42.9.1"}}
		for _, a := range external {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: a})
		}
		slimmed, err := slim(n)
		if err != nil {
			t.Fatal(err)
		}
		return slimmed.(*corev1.Node)
	}
	if n := node("n", "10.42.0.0/24", ""); n.Labels != nil || n.Status.Images != nil || n.Annotations["x"] != "" {
		t.Error("the cache keeps more of a node than it needs")
	}
	got := knownFrom("a", []*corev1.Node{
		node("c", "10.42.2.0/24", "fd00::1, 192.0.2.3,garbage,192.0.2.3", "203.0.113.3"),
		node("a", "10.42.0.0/24", "192.0.2.1"),
		node("b", "10.42.1.0/24", "192.0.2.2"),
		node("without-range", "", "192.0.2.4"),
		node("without-address", "10.42.5.0/24", ""),
	})
	want := known{PodCIDR: netip.MustParsePrefix("10.42.0.0/24"), Peers: []Peer{
		peer("b", "10.42.1.0/24", "192.0.2.2"), peer("c", "10.42.2.0/24", "192.0.2.3", "203.0.113.3"), peer("without-address", "10.42.5.0/24"),
	}}
	for i := range want.Peers {
		want.Peers[i].ProbeKey = make([]byte, 32)
	}
	if !got.equal(want) {
		t.Errorf("got %+v", got)
	}
	text, err := json.Marshal(got)
	var kept known
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil || !kept.equal(want) {
		t.Errorf("kept on disk: %+v, %v", kept, err)
	}
}

func TestManyAddressesOfANodeAreCutOff(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	n.Annotations = map[string]string{wire.AnnotationAddresses: strings.Repeat("192.0.2.1,", 1000)}
	for i := range 100 {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: fmt.Sprintf("198.51.100.%d", i)})
	}
	if got := peerOf(n); len(got.Addresses) != maxAddresses {
		t.Errorf("%d addresses", len(got.Addresses))
	}
}

func TestAddressesOfTheSiteBeginWithTheMostUseful(t *testing.T) {
	cfg := testConfig()
	facts := Facts{Default: "wwan0", Uplinks: []Uplink{
		uplink("eth1", "192.168.7.1/24", "169.254.1.1/16"), uplink("cni0", "10.42.9.1/24"), uplink("wwan0", "100.64.0.9/30"),
	}}
	if got := fmt.Sprint(siteAddresses(cfg, facts)); got != "[100.64.0.9 192.168.7.1]" {
		t.Error(got)
	}
	cfg.NodeIPs = []netip.Addr{netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("fd00::1")}
	if got := fmt.Sprint(siteAddresses(cfg, facts)); got != "[192.168.7.1 100.64.0.9]" {
		t.Error(got)
	}
	if got := siteAddresses(testConfig(), Facts{}); len(got) != 0 {
		t.Error(got)
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
