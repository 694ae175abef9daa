package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
)

func summary(risks []Risk) string {
	var words []string
	for _, r := range risks {
		words = append(words, fmt.Sprintf("%s by %s saved by %q", r.What, r.By, r.SavedBy))
	}
	return strings.Join(words, "\n")
}

func TestAClosedFirewallWouldCutEverything(t *testing.T) {
	want := `link by default/closed saved by "implied/servers"
ssh by default/closed saved by "implied/failsafe"
dns by default/closed saved by "implied/dns"
time by default/closed saved by "implied/time"`
	if got := summary(Cuts(closed(), facts(), Local{})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f := model.Facts{Door: 6443}
	want = `door by default/closed saved by "implied/door-known"
ssh by default/closed saved by ""`
	if got := summary(Cuts(closed(), f, Local{})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatIsAllowedIsNoRisk(t *testing.T) {
	rs := Compile(input(model.Firewall{Name: "f",
		Ingress: model.Section{Default: model.Deny, Rules: []model.Rule{{Name: "ssh", Action: model.Allow, Protocol: model.TCP,
			Ports: []model.PortRange{model.Port(22)}, Peers: []model.Peer{cidr("192.168.0.0/16")}}}},
		Egress: model.Section{Default: model.Deny, Rules: []model.Rule{{Name: "link", Action: model.Allow, Peers: []model.Peer{{Servers: true}}},
			{Name: "dns", Action: model.Allow, Protocol: model.UDP, Peers: []model.Peer{cidr("192.168.1.0/24")}}}},
	})).Rulesets["berlin-1"]
	if risks := Cuts(rs, facts(), Local{}); len(risks) != 0 {
		t.Errorf("got %+v", risks)
	}
	f := facts()
	f.Failsafe = nil
	if risks := Cuts(rs, f, Local{}); len(risks) != 0 {
		t.Errorf("ssh is open to some, and yet: %+v", risks)
	}
}

func TestNothingIsNoRisk(t *testing.T) {
	if risks := Cuts(&model.Ruleset{}, facts(), Local{}); len(risks) != 0 {
		t.Errorf("got %+v", risks)
	}
}

func TestRisksOfIPv6(t *testing.T) {
	f := model.Facts{Servers: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:9::1]:6443")},
		Failsafe: []model.Failsafe{{From: netip.MustParsePrefix("::/0"), Port: 22}}}
	want := `link by default/closed saved by "implied/servers"
ssh by default/closed saved by "implied/failsafe"`
	if got := summary(Cuts(closed(), f, Local{})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p := said(t, "in tcp 192.0.2.1:1 > 192.168.1.11:22")
	if d := Decide(closed(), f, Local{}, p); d.Verdict != model.Deny {
		t.Errorf("a failsafe of IPv6 lets in IPv4: %+v", d)
	}
}
