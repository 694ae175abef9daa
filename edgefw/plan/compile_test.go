package plan

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
)

var update = flag.Bool("update", false, "write golden files")

// whole is a ruleset with all entries of its sets.
func whole(rs *model.Ruleset) string {
	var b strings.Builder
	b.WriteString(Text(rs))
	for _, id := range slices.Sorted(maps.Keys(rs.Sets)) {
		fmt.Fprintf(&b, "%s: %s\n", id, strings.Join(entriesOf(rs.Sets[id]), " "))
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is different:\n%s\nwant:\n%s", path, got, want)
	}
}

func input(firewalls ...model.Firewall) Input {
	return Input{Firewalls: firewalls, Inventory: fleet()}
}

func TestRulesetsOfAFleet(t *testing.T) {
	in := input(
		model.Firewall{Name: "base", Created: day(1), Priority: 900,
			Ingress: model.Section{Default: model.Deny, Rules: []model.Rule{
				{Name: "ssh", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(22)},
					Peers: []model.Peer{{AddressSet: "offices"}, cidr("10.0.0.0/8", "10.42.0.0/16")}},
				{Name: "each-other", Action: model.Allow, Peers: []model.Peer{{Cluster: true}}},
			}}},
		model.Firewall{Name: "shop", Created: day(2), Priority: 100, Nodes: selector(t, "pool=shop"), OnChange: model.Cut,
			Ingress: model.Section{Rules: []model.Rule{
				{Name: "tills", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{{First: 8000, Last: 8010}, model.Port(8011)},
					Peers: []model.Peer{{Nodes: selector(t, "pool=shop")}}, Rate: &model.RateLimit{Count: 10, Seconds: 60, Burst: 5, Per: model.PerSource}},
				{Name: "seen", Action: model.Log, Protocol: model.UDP, Log: true},
			}},
			Egress: model.Section{Default: model.Reject, Rules: []model.Rule{
				{Name: "updates", Action: model.Allow, Peers: []model.Peer{{DNS: "Updates.example.org."}, {Servers: true}},
					Connections: &model.ConnectionLimit{Max: 10, Per: model.PerRule}},
			}}},
	)
	in.Known = addrs("198.51.100.99")
	out := Compile(in)
	for _, node := range in.Inventory.Nodes {
		golden(t, node.Name, strings.Join(out.Of[node.Name], " ")+"\n"+whole(out.Rulesets[node.Name]))
	}
}

func TestFirewallsAreAskedByPriorityAgeAndName(t *testing.T) {
	rule := func(name string, priority int32, n int) model.Firewall {
		return model.Firewall{Name: name, Priority: priority, Created: day(n), Ingress: model.Section{
			Rules: []model.Rule{{Name: "r", Action: model.Allow, Peers: []model.Peer{{AddressSet: name}}}}}}
	}
	out := Compile(input(rule("d", 500, 2), rule("c", 500, 2), rule("b", 500, 1), rule("a", 900, 1), rule("e", 1, 9)))
	want := []string{"e", "b", "c", "d", "a"}
	if got := out.Of["oslo-1"]; !slices.Equal(got, want) {
		t.Errorf("asked in order %v, want %v", got, want)
	}
	for i, r := range out.Rulesets["oslo-1"].Host.Ingress.Rules {
		if r.ID != want[i]+"/ingress/r" {
			t.Errorf("rule %d is %s", i, r.ID)
		}
	}
}

func TestTheFirstDefaultCounts(t *testing.T) {
	out := Compile(input(
		model.Firewall{Name: "silent", Priority: 1, Ingress: model.Section{Rules: []model.Rule{{Name: "x", Action: model.Allow, Protocol: model.ICMP}}}},
		model.Firewall{Name: "open", Priority: 2, Ingress: model.Section{Default: model.Allow}},
		model.Firewall{Name: "closed", Priority: 3, Ingress: model.Section{Default: model.Deny}},
	))
	if c := out.Rulesets["oslo-1"].Host.Ingress; c.Default != model.Allow || c.DefaultFrom != "open" {
		t.Errorf("default %q from %q", c.Default, c.DefaultFrom)
	}
}

func TestNothingSelectedIsNothing(t *testing.T) {
	out := Compile(input(model.Firewall{Name: "shop", Nodes: selector(t, "pool=shop"), Ingress: model.Section{Default: model.Deny}}))
	for _, node := range []string{"server", "oslo-1"} {
		if rs := out.Rulesets[node]; Text(rs) != "nothing\n" || len(rs.Sets) != 0 {
			t.Errorf("%s has %s", node, Text(rs))
		}
	}
	if out.Rulesets["server"] != out.Rulesets["oslo-1"] {
		t.Error("two nodes do not share the empty ruleset")
	}
}

func TestRulesThatCannotMatchAreLeftOut(t *testing.T) {
	tcp := func(name string, action model.Action, port uint16, peers ...model.Peer) model.Rule {
		return model.Rule{Name: name, Action: action, Protocol: model.TCP, Ports: []model.PortRange{model.Port(port)}, Peers: peers}
	}
	rules := []model.Rule{
		tcp("a", model.Allow, 80),
		tcp("again", model.Deny, 80, cidr("192.0.2.0/24")),
		tcp("b", model.Allow, 81),
		{Name: "both", Action: model.Deny, Protocol: model.TCP, Ports: []model.PortRange{{First: 80, Last: 81}}},
		{Name: "more", Action: model.Deny, Protocol: model.TCP, Ports: []model.PortRange{{First: 80, Last: 82}}},
		tcp("offices", model.Allow, 90, model.Peer{AddressSet: "offices"}, model.Peer{Cluster: true}),
		tcp("cluster", model.Deny, 90, model.Peer{Cluster: true}),
		tcp("servers", model.Deny, 90, model.Peer{Servers: true}),
		{Name: "nobody", Action: model.Allow, Peers: []model.Peer{cidr("10.0.0.0/8", "0.0.0.0/0")}},
		{Name: "noted", Action: model.Log},
		{Name: "rest", Action: model.Deny},
		tcp("late", model.Allow, 99),
	}
	out := Compile(input(model.Firewall{Name: "f", Ingress: model.Section{Rules: rules, Default: model.Deny}}))
	var names []string
	chain := out.Rulesets["oslo-1"].Host.Ingress
	for _, r := range chain.Rules {
		names = append(names, strings.TrimPrefix(r.ID, "f/ingress/"))
	}
	if want := []string{"a", "b", "more", "offices", "servers", "noted", "rest"}; !slices.Equal(names, want) {
		t.Errorf("rules %v, want %v", names, want)
	}
	if chain.Default != model.Pass {
		t.Errorf("default %s is left, which is never reached", chain.Default)
	}
	want := []Unreachable{{"f/ingress/again", "f/ingress/a"}, {"f/ingress/both", "f/ingress/a"},
		{"f/ingress/cluster", "f/ingress/offices"}, {"f/ingress/nobody", ""}, {"f/ingress/late", "f/ingress/rest"}}
	for _, u := range want {
		if !slices.Contains(out.Unreachable["oslo-1"], u) {
			t.Errorf("%v is not among the unreachable %v", u, out.Unreachable["oslo-1"])
		}
	}
}

func TestEverywhereIsNoSet(t *testing.T) {
	for name, peers := range map[string][]model.Peer{
		"both families": {cidr("0.0.0.0/0"), cidr("::/0")},
		"in halves":     {cidr("0.0.0.0/1"), cidr("128.0.0.0/1"), cidr("::/0", "2001:db8::/32"), cidr("2001:db8::/32")},
		"none":          nil,
	} {
		if p := peersOf(peers); !p.anybody || len(p.sets) != 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	p := peersOf([]model.Peer{cidr("0.0.0.0/0")})
	if want := prefixes("0.0.0.0/1", "128.0.0.0/1"); p.anybody || !slices.Equal(p.sources[p.sets[0]].prefixes, want) {
		t.Errorf("all of IPv4 is %+v", p)
	}
}

func TestEqualPeersHaveOneSet(t *testing.T) {
	a := peersOf([]model.Peer{cidr("192.0.2.0/25"), cidr("192.0.2.128/25"), {Cluster: true}})
	b := peersOf([]model.Peer{{Cluster: true}, cidr("192.0.2.0/24"), cidr("::ffff:192.0.2.7/128")})
	if !slices.Equal(a.sets, b.sets) {
		t.Errorf("%v and %v", a.sets, b.sets)
	}
}

func TestANodeThatNothingMatchesIsNobody(t *testing.T) {
	out := Compile(input(model.Firewall{Name: "f", Ingress: model.Section{Rules: []model.Rule{
		{Name: "none-yet", Action: model.Allow, Peers: []model.Peer{{Nodes: selector(t, "pool=mine")}}},
	}}}))
	rs := out.Rulesets["oslo-1"]
	if len(rs.Host.Ingress.Rules) != 1 || rs.Host.Ingress.Rules[0].Anybody || len(rs.Sets) != 1 {
		t.Fatalf("got %s", Text(rs))
	}
	d := Decide(rs, facts(), Local{}, model.Packet{Direction: model.Ingress, Protocol: model.TCP,
		From: netip.MustParseAddrPort("192.0.2.1:1"), To: netip.MustParseAddrPort("198.51.100.9:22")})
	if d.Verdict != model.Pass {
		t.Errorf("decided %+v", d)
	}
}

func TestPrivateAddressesAreForTheirSite(t *testing.T) {
	out := Compile(input(model.Firewall{Name: "f", Ingress: model.Section{Rules: []model.Rule{
		{Name: "shop", Action: model.Allow, Peers: []model.Peer{{Nodes: selector(t, "pool=shop")}}},
	}}}))
	for node, private := range map[string]bool{"berlin-1": true, "berlin-2": true, "oslo-1": false, "server": false} {
		got := false
		for _, s := range out.Rulesets[node].Sets {
			got = got || holds(s.Prefixes, addr("192.168.1.12"))
		}
		if got != private {
			t.Errorf("%s knows private addresses of berlin: %t, want %t", node, got, private)
		}
	}
}

func TestPortsOfBalancersNeedADefaultToOpen(t *testing.T) {
	for _, action := range []model.Action{model.Deny, model.Reject, model.Allow, model.Pass} {
		out := Compile(input(model.Firewall{Name: "f", Ingress: model.Section{Default: action, Rules: []model.Rule{{Name: "p", Action: model.Allow, Protocol: model.ICMP}}}}))
		opened := strings.Contains(Text(out.Rulesets["oslo-1"]), "service/web/front/443/udp")
		if want := action == model.Deny || action == model.Reject; opened != want {
			t.Errorf("default %q: opened %t", action, opened)
		}
		if strings.Contains(Text(out.Rulesets["berlin-2"]), "service/") {
			t.Errorf("a node that does not offer the service opens its port")
		}
	}
}
