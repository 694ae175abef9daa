//go:build namespace

package packets

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/apply/conntrack"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// fleet is the cluster of which the node "here" is one.
func fleet(r ruling) model.Inventory {
	i := model.Inventory{
		Nodes: []model.Node{
			{Name: "here", Labels: map[string]string{"pool": "a"}, Server: r.isServer,
				Public: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:2::1")}},
			{Name: "peer", Labels: map[string]string{"pool": "b"}, Public: both("peer")},
			{Name: "server", Labels: map[string]string{"pool": "servers"}, Server: true, Public: both("server")},
		},
		Pods:     []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
		Services: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		AddressSets: map[string]model.AddressSet{"offices": {Name: "offices", Prefixes: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.40/32"), netip.MustParsePrefix("198.51.100.0/24"),
			netip.PrefixFrom(of("listed", 6), 128)}}},
		Balanced: r.balanced,
	}
	if r.inventory != nil {
		r.inventory(&i)
	}
	return i
}

func facts(r ruling) model.Facts {
	f := model.Facts{
		Servers:   []netip.AddrPort{netip.AddrPortFrom(of("server", 4), 6443), netip.AddrPortFrom(of("server", 6), 6443)},
		Resolvers: both("resolver"), TimeServers: both("clock"),
		PodRange: netip.MustParsePrefix("10.42.0.0/24"), PodLink: "kedge0", RelayLink: "kedge-relay",
		Services: netip.MustParsePrefix("10.43.0.0/16"), ClusterDNS: netip.MustParseAddr("10.43.0.10"),
		API: netip.MustParseAddr("10.43.0.1"), APIPorts: []uint16{443, 6443},
	}
	for _, a := range both("admin") {
		f.Failsafe = append(f.Failsafe, model.Failsafe{From: netip.PrefixFrom(a, a.BitLen()), Port: 22})
	}
	if r.facts != nil {
		r.facts(&f)
	}
	return f
}

func local() plan.Local {
	l := plan.Local{
		Pods:  map[string][]netip.Addr{"uid-of-pod": {netip.MustParseAddr("10.42.0.2")}},
		Names: map[string][]netip.Addr{"time.example.org": both("named")},
	}
	for _, name := range []string{"host", "loopback", "gateway", "dns", "api", "bridge"} {
		for _, family := range []int{4, 6} {
			if a, ok := address(name, family); ok {
				l.Addresses = append(l.Addresses, a)
			}
		}
	}
	return l
}

// enforced is the site under a ruling.
type enforced struct {
	*site
	kernel *apply.Kernel
	wish   apply.Wish
}

func newKernel(t testing.TB, variant apply.Variant) *apply.Kernel {
	t.Helper()
	k, err := apply.New(apply.Config{Log: slog.New(slog.DiscardHandler), Variant: variant})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Remove(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		k.Close()
	})
	return k
}

// enforce compiles a ruling and brings it into the kernel.
func (s *site) enforce(t testing.TB, k *apply.Kernel, r ruling) *enforced {
	t.Helper()
	compiled := plan.Compile(plan.Input{Firewalls: r.firewalls, Inventory: fleet(r)})
	w := apply.Wish{Ruleset: compiled.Rulesets["here"], Facts: facts(r), Local: local()}
	result, err := k.Apply(t.Context(), w)
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	if len(result.Unenforced) > 0 {
		t.Fatalf("%s: %v", r.name, result.Unenforced)
	}
	return &enforced{site: s, kernel: k, wish: w}
}

// forget ends all that the kernel knows of former flows: a new one of UDP that draws
// the port of a former one would be established from the first packet.
func (s *site) forget(t testing.TB) {
	t.Helper()
	table, err := conntrack.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	flows, err := table.Flows()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		if err := table.Delete(f); err != nil && !errors.Is(err, conntrack.ErrGone) {
			t.Fatal(err)
		}
	}
}

// decide is what plan says of a probe's packet, as an outcome. Of packets that the
// node forwards for others than its pods it knows nothing.
func (e *enforced) decide(p probe) (outcome string, d model.Decision) {
	packet := model.Packet{Direction: model.Ingress, Protocol: p.protocol, To: p.dest, Mark: p.mark,
		From: netip.AddrPortFrom(p.from, 40000)}
	switch p.who {
	case "node":
		packet.Direction = model.Egress
		packet.From = netip.AddrPortFrom(netip.MustParseAddr(here["host"][(p.family-4)/2]), 40000)
	case "pod":
		packet.Link = "kedge0"
	case "docker":
		packet.Link = "docker0"
	default:
		packet.Link = "eth0"
	}
	if p.protocol == model.ICMP {
		packet.From = netip.AddrPortFrom(packet.From.Addr(), 0)
		packet.ICMPType = echo(p.family)[0]
	}
	d = plan.Decide(e.wish.Ruleset, e.wish.Facts, e.wish.Local, packet)
	switch d.Verdict {
	case model.Deny:
		return dropped, d
	case model.Reject:
		return refused, d
	}
	return "answered", d
}

// Words of rules.

type rule = model.Rule

func selector(text string) labels.Selector {
	s, err := labels.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func ports(list ...uint16) []model.PortRange {
	var ranges []model.PortRange
	for _, p := range list {
		ranges = append(ranges, model.Port(p))
	}
	return ranges
}

func cidrs(list ...netip.Prefix) []model.Peer {
	var peers []model.Peer
	for _, p := range list {
		peers = append(peers, model.Peer{CIDR: p})
	}
	return peers
}

func peer(p ...model.Peer) []model.Peer { return p }

// one is an address as a prefix, for both families.
func one(who string) []model.Peer {
	var peers []model.Peer
	for _, a := range both(who) {
		peers = append(peers, model.Peer{CIDR: netip.PrefixFrom(a, a.BitLen())})
	}
	return peers
}

// named gives rules the names that they get when they have none.
func named(rules []rule) []rule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].Name = "rule-" + string(rune('1'+i))
	}
	return rules
}

// firewall is one for all nodes.
func firewall(name string, f model.Firewall) model.Firewall {
	f.Name, f.Priority = name, max(f.Priority, 1)
	f.Created = time.Unix(1, 0)
	f.Ingress.Rules, f.Egress.Rules = named(f.Ingress.Rules), named(f.Egress.Rules)
	if f.Nodes == nil {
		f.Nodes = labels.Everything()
	}
	if f.OnChange == "" {
		f.OnChange = model.Keep
	}
	return f
}

// ingress and egress are firewalls of one direction.
func ingress(otherwise model.Action, rules ...rule) []model.Firewall {
	return []model.Firewall{firewall("in", model.Firewall{Ingress: model.Section{Rules: rules, Default: otherwise}})}
}

func egress(otherwise model.Action, rules ...rule) []model.Firewall {
	return []model.Firewall{firewall("out", model.Firewall{Egress: model.Section{Rules: rules, Default: otherwise}})}
}
