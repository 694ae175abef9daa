package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

// closed denies everything in both directions.
func closed() *model.Ruleset {
	return &model.Ruleset{Host: model.HostRules{
		Ingress: model.Chain{Default: model.Deny, DefaultFrom: "closed"},
		Egress:  model.Chain{Default: model.Reject, DefaultFrom: "closed"},
	}, Sets: map[model.SetID]model.Set{KnownSet: {Prefixes: prefixes("198.51.100.0/24")}}}
}

// said is a packet in few words: "in tcp 192.0.2.1:40000 > 192.168.1.11:22".
func said(t *testing.T, words string) model.Packet {
	t.Helper()
	f := strings.Fields(words)
	p := model.Packet{Direction: model.Ingress, Protocol: model.Protocol(f[1]), From: netip.MustParseAddrPort(f[2]), To: netip.MustParseAddrPort(f[4])}
	if f[0] == "out" {
		p.Direction = model.Egress
	}
	for _, word := range f[5:] {
		switch {
		case word == "established":
			p.Established = true
		case word == "marked":
			p.Mark = model.LinkMark
		case strings.HasPrefix(word, "type="):
			_, _ = fmt.Sscanf(word, "type=%d", &p.ICMPType)
		case strings.HasPrefix(word, "dev="):
			p.Link = strings.TrimPrefix(word, "dev=")
		}
	}
	return p
}

func TestWhatIsImpliedPassesAClosedFirewall(t *testing.T) {
	f := facts()
	f.Door = 6443
	for packet, want := range map[string]string{
		"in tcp 127.0.0.1:1 > 127.0.0.1:80":                         "implied/loopback",
		"in tcp 192.0.2.1:1 > 192.168.1.11:80 dev=lo":               "implied/loopback",
		"in tcp 192.0.2.1:1 > 192.168.1.11:80 established":          "implied/established",
		"in icmp 192.0.2.1:0 > 192.168.1.11:0 type=3":               "implied/icmp-errors",
		"in icmp 192.0.2.1:0 > 192.168.1.11:0 type=8":               "default/closed",
		"in icmp [2001:db8::1]:0 > [2001:db8::2]:0 type=2":          "implied/icmp-errors",
		"in icmp [fe80::1]:0 > [ff02::1]:0 type=135":                "implied/neighbours",
		"in icmp 192.0.2.1:0 > 192.168.1.11:0 type=135":             "default/closed",
		"in udp 192.168.1.1:67 > 255.255.255.255:68":                "implied/dhcp",
		"in udp 192.168.1.1:53 > 192.168.1.11:68":                   "default/closed",
		"in udp [fe80::1]:547 > [fe80::2]:546":                      "implied/dhcp",
		"in tcp 192.168.1.77:1 > 192.168.1.11:22":                   "implied/failsafe",
		"in tcp 192.168.2.77:1 > 192.168.1.11:22":                   "default/closed",
		"in udp 192.168.1.77:1 > 192.168.1.11:22":                   "default/closed",
		"in udp 10.42.1.5:1 > 10.43.0.10:53 dev=kedge0":             "implied/pods-dns",
		"in udp 10.42.1.5:1 > 10.43.0.10:53":                        "implied/pods-dns",
		"in tcp 10.42.1.5:1 > 10.43.0.1:443":                        "implied/pods-api",
		"in tcp 10.42.1.5:1 > 10.43.0.1:22":                         "default/closed",
		"in tcp 10.42.1.5:1 > 192.168.1.11:22":                      "default/closed",
		"in tcp 198.51.100.9:1 > 192.168.1.11:6443":                 "implied/door-known",
		"in tcp 192.0.2.1:1 > 192.168.1.11:6443":                    "implied/door",
		"out tcp 192.168.1.11:1 > 203.0.113.1:6443":                 "implied/servers",
		"out tcp 192.168.1.11:1 > 203.0.113.1:22":                   "default/closed",
		"out tcp 192.168.1.11:1 > 203.0.113.200:9999 marked":        "implied/link",
		"out udp 192.168.1.11:1 > 192.168.1.1:53":                   "implied/dns",
		"out tcp 192.168.1.11:1 > 192.168.1.1:53":                   "implied/dns",
		"out udp 192.168.1.11:1 > 8.8.8.8:53":                       "default/closed",
		"out udp 192.168.1.11:1 > 192.168.1.2:123":                  "implied/time",
		"out udp 0.0.0.0:68 > 255.255.255.255:67":                   "implied/dhcp",
		"out udp [fe80::1]:546 > [ff02::1:2]:547":                   "implied/dhcp",
		"out tcp 10.42.1.1:1 > 10.42.1.5:8080":                      "implied/pods",
		"out tcp 10.42.1.1:1 > 10.42.2.5:8080":                      "default/closed",
		"out icmp [fe80::1]:0 > [ff02::16]:0 type=143":              "implied/neighbours",
		"in tcp 192.0.2.1:1 > 10.43.7.7:80 dev=eth0":                "default/closed",
		"in tcp 10.42.1.5:1 > 10.43.7.7:80 dev=kedge0":              "",
		"in tcp 10.42.2.5:1 > 10.43.7.7:80 dev=kedge-relay":         "",
		"in udp 192.168.1.9:5353 > 224.0.0.251:5353 dev=eth0":       "default/closed",
		"in tcp [::ffff:192.168.1.77]:1 > [::ffff:192.168.1.11]:22": "implied/failsafe",
	} {
		d := Decide(closed(), f, Local{}, said(t, packet))
		if d.Rule != want || d.Why == "" || strings.HasPrefix(d.Why, ";") {
			t.Errorf("%s: %+v, want %q", packet, d, want)
		}
	}
}

func TestOnlyTheDoorIsLimited(t *testing.T) {
	f := facts()
	f.Door = 6443
	for packet, want := range map[string]bool{
		"in tcp 198.51.100.9:1 > 192.168.1.11:6443": false,
		"in tcp 192.0.2.1:1 > 192.168.1.11:6443":    true,
	} {
		if d := Decide(closed(), f, Local{}, said(t, packet)); d.Limited != want {
			t.Errorf("%s: %+v", packet, d)
		}
	}
}

func TestADirectionThatNobodyMentionsIsLeftAlone(t *testing.T) {
	rs := closed()
	rs.Host.Egress = model.Chain{}
	d := Decide(rs, facts(), Local{}, said(t, "out tcp 192.168.1.11:1 > 203.0.113.1:6443"))
	if d.Verdict != model.Pass || d.Rule != "" {
		t.Errorf("decided %+v", d)
	}
}

func TestOwnAddressesTellWhatIsTheHosts(t *testing.T) {
	local := Local{Addresses: addrs("192.168.1.11"), Pods: map[string][]netip.Addr{"uid": addrs("10.42.1.5")}}
	for packet, want := range map[string]string{
		"in tcp 192.0.2.1:1 > 192.168.1.11:80":     "default/closed",
		"in tcp 192.0.2.1:1 > 192.168.1.99:80":     "", // forwarded
		"in tcp 192.0.2.1:1 > 10.42.1.5:80":        "", // a pod's
		"in tcp 192.0.2.1:1 > 224.0.0.5:80":        "default/closed",
		"in tcp 192.168.1.11:1 > 10.42.1.5:80":     "implied/pods",
		"out tcp 192.168.1.11:1 > 192.168.1.11:80": "implied/loopback",
		"out tcp 10.42.1.5:1 > 192.168.1.11:80":    "default/closed", // a pod to its node
		"out tcp 10.42.1.5:1 > 192.0.2.1:80":       "",               // forwarded for a pod
	} {
		if d := Decide(closed(), facts(), local, said(t, packet)); d.Rule != want {
			t.Errorf("%s: %+v, want %q", packet, d, want)
		}
	}
}

func TestPoliciesAndHostRulesBothMustAllowNames(t *testing.T) {
	local := Local{Addresses: addrs("192.168.1.11"), Pods: map[string][]netip.Addr{"uid": addrs("10.42.1.5")}}
	rs := closed()
	rs.Pods = model.PodRules{Known: []string{"uid"}, Guarded: []string{"default"}, IsolatedEgress: "pods/x"}
	rs.Sets["pods/x"] = model.Set{Pods: []string{"uid"}}
	p := said(t, "out udp 10.42.1.5:1 > 10.43.0.10:53")
	if d := Decide(rs, facts(), local, p); d.Verdict != model.Deny || d.Rule != "policy/egress" {
		t.Errorf("the policy does not count: %+v", d)
	}
	rs.Pods.Egress = []model.PodRule{{ID: "default/p/egress/1", Pods: "pods/x", Anybody: true}}
	if d := Decide(rs, facts(), local, p); d.Verdict != model.Allow {
		t.Errorf("decided %+v", d)
	}
}

// guarded rejects everything at the host and isolates a pod.
func guarded() (*model.Ruleset, Local) {
	rs := closed()
	rs.Host.Ingress.Default = model.Reject
	rs.Pods = model.PodRules{Known: []string{"uid"}, Guarded: []string{"default"}, IsolatedEgress: "pods/x",
		Egress: []model.PodRule{{ID: "default/p/egress/1", Pods: "pods/x", Protocol: model.TCP, Ports: []model.PortRange{model.Port(80)}, Anybody: true}}}
	rs.Sets["pods/x"] = model.Set{Pods: []string{"uid"}}
	return rs, Local{Addresses: addrs("192.168.1.11", "2001:db8:7::11"), Pods: map[string][]netip.Addr{"uid": addrs("10.42.1.5")}}
}

func TestWhatTheHostRejectsAPolicyMayDrop(t *testing.T) {
	rs, local := guarded()
	for packet, want := range map[string]string{
		"in tcp 10.42.1.5:1 > 10.43.0.10:80":                   "default/closed",
		"in tcp 10.42.1.5:1 > 10.43.0.10:81":                   "policy/egress",
		"in tcp 10.42.1.5:1 > 10.43.7.7:80 dev=kedge0":         "default/p/egress/1",
		"in tcp 10.42.1.5:1 > 10.43.7.7:80 dev=eth0":           "default/closed", // forged
		"in tcp 10.42.1.5:1 > 203.0.113.9:81 dev=kedge0":       "policy/egress",
		"in tcp 10.42.1.5:1 > 203.0.113.9:81 established":      "implied/established",
		"in udp [2001:db8::1]:1 > [2001:db8:7::]:53 dev=eth0":  "default/closed", // that of all routers
		"in udp [2001:db8::1]:1 > [2001:db8:8::]:53 dev=eth0":  "",
		"in udp [2001:db8::1]:1 > [2001:db8:7::1]:53 dev=eth0": "",
	} {
		if d := NewDecider(rs, facts(), local).Decide(said(t, packet)); d.Rule != want {
			t.Errorf("%s: %+v, want %q", packet, d, want)
		}
	}
}

func TestTextHasPolicies(t *testing.T) {
	rs, _ := guarded()
	golden(t, "policies", Text(rs))
}

func TestRulesOfANode(t *testing.T) {
	rs := Compile(input(model.Firewall{Name: "f", Ingress: model.Section{Default: model.Deny, Rules: []model.Rule{
		{Name: "note", Action: model.Log, Protocol: model.TCP},
		{Name: "web", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(80)},
			Rate: &model.RateLimit{Count: 1, Seconds: 1, Burst: 1, Per: model.PerRule}},
		{Name: "name", Action: model.Reject, Peers: []model.Peer{{DNS: "one.example.org"}}},
	}}})).Rulesets["oslo-1"]
	local := Local{Names: chance.Names()}
	d := Decide(rs, facts(), local, said(t, "in tcp 192.0.2.9:1 > 198.51.100.9:80"))
	if d.Verdict != model.Allow || d.Rule != "f/ingress/web" || !d.Limited || len(d.Logged) != 1 || d.Logged[0] != "f/ingress/note" {
		t.Errorf("decided %+v", d)
	}
	d = Decide(rs, facts(), local, said(t, "in udp 192.0.2.1:1 > 198.51.100.9:80"))
	if d.Rule != "f/ingress/name" || !strings.Contains(d.Why, "192.0.2.1 is in dns/one.example.org") {
		t.Errorf("decided %+v", d)
	}
	if d := Decide(rs, facts(), local, said(t, "in udp 198.18.0.1:1 > 198.51.100.9:443")); d.Rule != "service/web/front/443/udp" {
		t.Errorf("decided %+v", d)
	}
}

func TestTheSafeSetLetsInWhatIsImplied(t *testing.T) {
	if d := Decide(Safe(), facts(), Local{}, said(t, "in tcp 192.168.1.7:1 > 192.168.1.11:22")); d.Rule != "implied/failsafe" {
		t.Errorf("decided %+v", d)
	}
	if d := Decide(Safe(), facts(), Local{}, said(t, "in tcp 192.0.2.7:1 > 192.168.1.11:22")); d.Verdict != model.Deny {
		t.Errorf("decided %+v", d)
	}
	if d := Decide(Safe(), facts(), Local{}, said(t, "out tcp 192.168.1.11:1 > 192.0.2.7:22")); d.Verdict != model.Pass {
		t.Errorf("decided %+v", d)
	}
}
