package view_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/view"
)

// same compares without the trailing blanks of tables.
func same(t *testing.T, got, want string) {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(got, "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	if got = strings.Join(lines, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFleetIsATable(t *testing.T) {
	now := time.Unix(1000, 0)
	since := now.Add(-90 * time.Second)
	var b strings.Builder
	err := view.WriteFleet(&b, view.Fleet{Revision: 7, Problem: "pods are being read", Nodes: []view.Standing{
		{Node: "edge-1", Connected: true, State: "Applied", Wanted: 7, Applied: 7, Latency: 120 * time.Millisecond, Took: 1234 * time.Microsecond, Firewalls: []string{"base", "shops"}, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7")}},
		{Node: "edge-2", State: "RolledBack", Reason: "no server was reached within 15s", Since: &since, Wanted: 7, Applied: 5},
	}}, now)
	if err != nil {
		t.Fatal(err)
	}
	same(t, b.String(), `revision 7
problem: pods are being read
NODE    LINK  STATE       SINCE  REVISION  LATENCY  KERNEL  ADDRESSES    FIREWALLS
edge-1  up    Applied     -      7         120ms    1ms     203.0.113.7  base,shops
edge-2  down  RolledBack  1m30s  5 of 7    -        -       -            -
edge-2: no server was reached within 15s
`)
}

func TestNodeTellsWhatIsImplied(t *testing.T) {
	var b strings.Builder
	err := view.WriteNode(&b, view.Node{
		Node: "edge-1", State: "failed", Reason: "no ipset in this kernel", Enforced: 5, Proven: 5, Wanted: 7, Lag: 90 * time.Second,
		HostRules: 3, PodRules: 4, Pods: 2, Sets: 2, Entries: 10_000, Way: "in place", Took: 300 * time.Microsecond, Applies: 9, Rollbacks: 1, Restored: 2,
		Facts: model.Facts{
			Servers: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.2:6443")}, Resolvers: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
			Failsafe: []model.Failsafe{{From: netip.MustParsePrefix("198.51.100.0/24"), Port: 22}},
		},
		Minimal: true, Undecided: true, Trouble: []string{"the disk is full"},
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, b.String(), `node                   edge-1
state                  failed
reason                 no ipset in this kernel
revision               5 in the kernel, 5 proven, 7 wanted
lag                    1m30s
rules                  3 of the host, 4 of 2 pods
sets                   2 with 10000 entries
latest change          in place, 300µs
changes                9, 1 rolled back, put back 2 times
implied: servers       203.0.113.2:6443
implied: resolvers     192.0.2.53
implied: time servers  none
implied: --failsafe    198.51.100.0/24 to port 22
minimal                the file of rules is damaged: only what is implied comes in until a server is heard
undecided              the server was out of reach with the former rules as well: tried again when the link is back
trouble                the disk is full
`)
}

func TestCountersAreSortedByPackets(t *testing.T) {
	counters := []view.Counter{{Rule: "f/ingress/ssh", Packets: 3, Bytes: 180, Limited: 1}, {Rule: "f/ingress/idle"}, {Rule: "default/f", Packets: 70, Bytes: 4200}}
	var b strings.Builder
	if err := view.WriteCounters(&b, counters, false); err != nil {
		t.Fatal(err)
	}
	same(t, b.String(), `PACKETS  BYTES  LIMITED  RULE
70       4200   -        default/f
3        180    1        f/ingress/ssh
1 rules have matched nothing: see them with --all
`)
	b.Reset()
	if err := view.WriteCounters(&b, counters, true); err != nil || !strings.Contains(b.String(), "f/ingress/idle") {
		t.Error(err, b.String())
	}
}

func TestPlanShowsDifferenceAndRisks(t *testing.T) {
	p := view.Plan{Notes: []string{"the list of set s was not fetched"}, Nodes: []view.PlannedNode{
		{
			Node: "edge-1", Firewalls: []string{"base"}, Changed: true, Ruleset: "ingress default deny (base)\n",
			Difference:  &plan.Difference{Added: []string{"ingress default deny (base)"}},
			Unreachable: []plan.Unreachable{{Rule: "base/ingress/late", By: "base/ingress/early"}, {Rule: "base/ingress/none"}},
			Risks: []plan.Risk{
				{What: "link", By: "default/base", SavedBy: "implied/servers"},
				{What: "ssh", By: "default/base", Packet: model.Packet{From: netip.MustParseAddrPort("192.0.2.1:40000"), To: netip.MustParseAddrPort("10.0.0.1:22")}, Why: "no --failsafe names it"},
			},
		},
		{Node: "edge-2", Firewalls: []string{"base"}, Changed: true, As: "edge-1", Assumed: true, FactsProblem: "no link"},
		{Node: "edge-3"},
	}}
	var b strings.Builder
	if err := view.WritePlan(&b, p, false); err != nil {
		t.Fatal(err)
	}
	same(t, b.String(), `node edge-1 (base)
  + ingress default deny (base)
  ! rule base/ingress/late is never asked: base/ingress/early matches all that it would
  ! rule base/ingress/none matches nobody
  * link: default/base would cut it; implied/servers keeps it open
  ! ssh: default/base would CUT it (192.0.2.1:40000 to 10.0.0.1:22): no --failsafe names it
node edge-2 (base)
  as node edge-1
  ? the node did not tell its servers, resolvers and --failsafe, so the usual was assumed: no link
note: the list of set s was not fetched
2 of 3 nodes would have other rules; nothing was changed
`)
	if !p.Cuts() {
		t.Error("ssh would be cut")
	}
	p.Nodes[0].Risks = p.Nodes[0].Risks[:1]
	if p.Cuts() {
		t.Error("what is implied counts as cut")
	}
}

func TestExplanationHasAllSteps(t *testing.T) {
	var b strings.Builder
	err := view.WriteExplanation(&b, view.Explanation{
		Protocol: model.TCP, From: view.End{Name: "203.0.113.7", Address: netip.MustParseAddrPort("203.0.113.7:40000")},
		To: view.End{Name: "shop/web-0", Pod: "shop/web-0", Node: "edge-1", Address: netip.MustParseAddrPort("10.42.1.7:80")},
		Steps: []view.Step{
			{Node: "edge-1", Direction: model.Ingress, Asked: true, Decision: model.Decision{Why: "nothing is about it"}},
			{Node: "edge-1", Direction: model.Ingress, Pod: "shop/web-0", Decision: model.Decision{Verdict: model.Deny, Rule: "shop/closed/ingress/1", Limited: true, Logged: []string{"a", "b"}, Why: "no rule allows it"}},
		},
		Verdict: model.Deny, Why: "the network policies of shop/web-0 do not allow it",
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, b.String(), `tcp from 203.0.113.7:40000 to 10.42.1.7:80 (shop/web-0, node edge-1)
1. node edge-1, ingress: no opinion: nothing is about it
2. pod shop/web-0 on node edge-1, ingress: deny by shop/closed/ingress/1 (at a limited rate), noted by a, b: no rule allows it (as the server wants it: the node was not asked)
=> deny: the network policies of shop/web-0 do not allow it
`)
}
