package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

var (
	clusterCIDR = netip.MustParsePrefix("10.42.0.0/16")
	serverAddr  = netip.MustParseAddr("203.0.113.7")
	born        = time.Unix(1e9, 0)
)

// node makes a node of age days with a pod range and addresses.
func node(name string, days int, podRange string, addrs ...string) Node {
	n := Node{Name: tunnel.NodeName(name), Created: born.AddDate(0, 0, -days)}
	if podRange != "" {
		n.PodRanges = []netip.Prefix{netip.MustParsePrefix(podRange)}
	}
	for _, a := range addrs {
		n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
	}
	return n
}

func table(nodes ...Node) *Table {
	t := NewTable(clusterCIDR, []netip.Addr{serverAddr}, "server")
	for _, n := range nodes {
		t.Set(n)
	}
	return t
}

func TestAddressesLeadToTheirNode(t *testing.T) {
	tab := table(
		node("server", 9, "10.42.0.0/24", "203.0.113.7", "192.168.1.10"),
		node("a", 8, "10.42.1.0/24", "10.42.1.1"),
		node("b", 7, "10.42.2.0/24", "192.168.1.20"),
		node("c", 6, "10.42.3.0/25", "2001:db8::3"),
		// Lies of younger nodes.
		node("thief", 1, "10.42.1.0/24", "203.0.113.7", "192.168.1.10", "10.42.1.1"),
		node("part", 1, "10.42.2.128/25"),
		node("whole", 1, "10.42.0.0/15"),
		node("outside", 1, "192.0.2.0/24"),
		node("webhook", 1, "", "127.0.0.1", "::1", "169.254.169.254"),
	)
	for addr, want := range map[string]string{
		"10.42.0.5":           "server",
		"10.42.1.5":           "a",
		"::ffff:10.42.1.5":    "a",
		"10.42.1.1":           "a",
		"10.42.2.200":         "b",
		"10.42.3.100":         "c",
		"192.168.1.20":        "b",
		"192.168.1.10":        "server", // its own network, whoever claims it
		"2001:db8::3":         "c",
		"203.0.113.7":         "", // the server itself
		"192.0.2.9":           "",
		"198.51.100.1":        "",
		"10.43.0.1":           "",
		"127.0.0.1":           "", // an administrator's webhook on the server
		"::1":                 "",
		"169.254.169.254":     "",
		"::ffff:192.168.1.20": "b",
	} {
		got, err := tab.Find(netip.MustParseAddr(addr))
		if err != nil || string(got) != want {
			t.Errorf("%s leads to %q, %v; want %q", addr, got, err, want)
		}
	}
}

func TestAddressesOfSeveralNodesAreRefusedWithTheirNames(t *testing.T) {
	tab := table(node("b", 1, "10.42.2.0/24", "192.168.1.10"), node("a", 2, "10.42.1.0/24", "192.168.1.10"))
	_, err := tab.Find(netip.MustParseAddr("192.168.1.10"))
	var ambiguous *AmbiguousError
	if !errors.As(err, &ambiguous) || !slices.Equal(ambiguous.Nodes, []tunnel.NodeName{"a", "b"}) {
		t.Fatalf("got %v, want both nodes named", err)
	}
	// It is decided again when one goes.
	tab.Delete("b")
	if got, err := tab.Find(netip.MustParseAddr("192.168.1.10")); got != "a" || err != nil {
		t.Errorf("after one was deleted: %q, %v", got, err)
	}
	tab.Set(node("a", 2, "10.42.1.0/24", "192.168.1.11"))
	if got, err := tab.Find(netip.MustParseAddr("192.168.1.10")); got != "" || err != nil {
		t.Errorf("after the other moved: %q, %v", got, err)
	}
}

func TestPodAddressesOfNobodyAreRefused(t *testing.T) {
	tab := table(node("a", 1, "10.42.1.0/24"), node("new", 1, ""))
	for _, addr := range []string{"10.42.9.1", "10.42.255.255"} {
		_, err := tab.Find(netip.MustParseAddr(addr))
		var unknown *UnknownPodError
		if !errors.As(err, &unknown) {
			t.Errorf("%s: %v, want an UnknownPodError", addr, err)
		}
	}
}

func BenchmarkFindAmongAThousandNodes(b *testing.B) {
	tab := table()
	for i := range 1000 {
		tab.Set(node(fmt.Sprintf("n%d", i), i, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 42, byte(i), 0}), 24).String()))
	}
	addr := netip.MustParseAddr("10.42.77.3")
	for b.Loop() {
		if _, err := tab.Find(addr); err != nil {
			b.Fatal(err)
		}
	}
}
