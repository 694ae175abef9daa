package plan

import (
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func selector(t testing.TB, text string) labels.Selector {
	t.Helper()
	s, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cidr(s string, except ...string) model.Peer {
	return model.Peer{CIDR: netip.MustParsePrefix(s), Except: prefixes(except...)}
}

// day is when the firewall of a test was made.
func day(n int) time.Time { return chance.Day(n) }

// fleet is a server and two sites: berlin has two nodes behind one address,
// oslo one with an address of its own.
func fleet() model.Inventory {
	return model.Inventory{
		Nodes: []model.Node{
			{Name: "server", Server: true, Labels: map[string]string{"role": "server"}, Public: addrs("203.0.113.1"),
				Reported: addrs("203.0.113.1", "10.9.0.1"), PodRanges: prefixes("10.42.0.0/24")},
			{Name: "berlin-1", Labels: map[string]string{"pool": "shop"}, Public: addrs("198.51.100.7"),
				Reported: addrs("192.168.1.11", "10.42.1.1", "fe80::1"), PodRanges: prefixes("10.42.1.0/24")},
			{Name: "berlin-2", Labels: map[string]string{"pool": "shop"}, Public: addrs("198.51.100.7"),
				Reported: addrs("192.168.1.12"), PodRanges: prefixes("10.42.2.0/24")},
			{Name: "oslo-1", Labels: map[string]string{"pool": "mast"}, Public: addrs("198.51.100.9"),
				Reported: addrs("192.168.1.11", "2001:db8:9::9"), PodRanges: prefixes("10.42.3.0/24")},
		},
		Servers:  addrs("203.0.113.1"),
		Pods:     prefixes("10.42.0.0/16"),
		Services: prefixes("10.43.0.0/16"),
		AddressSets: map[string]model.AddressSet{
			"offices": {Name: "offices", Prefixes: prefixes("192.0.2.0/25", "192.0.2.128/25", "2001:db8:1::/48")},
		},
		Balanced: []model.Balanced{{Name: "web/front", Ports: []model.BalancedPort{{Protocol: model.TCP, Port: 443}, {Protocol: model.UDP, Port: 443}},
			Sources: prefixes("198.18.0.0/15"), Nodes: []string{"oslo-1", "berlin-1"}}},
	}
}

// facts are those of berlin-1.
func facts() model.Facts {
	return model.Facts{
		Servers:   []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:6443")},
		Resolvers: addrs("192.168.1.1"), TimeServers: addrs("192.168.1.2"),
		Failsafe: []model.Failsafe{{From: netip.MustParsePrefix("192.168.1.0/24"), Port: 22}},
		PodRange: netip.MustParsePrefix("10.42.1.0/24"), PodLink: "kedge0", RelayLink: "kedge-relay",
		Services: netip.MustParsePrefix("10.43.0.0/16"), ClusterDNS: addr("10.43.0.10"), API: addr("10.43.0.1"), APIPorts: []uint16{443, 6444},
	}
}
