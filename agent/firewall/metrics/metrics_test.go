package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kedge-io/kedge/edgefw/view"
)

func TestFiguresOfARollback(t *testing.T) {
	n := view.Node{Wanted: 7, Enforced: 6, Proven: 6, State: "rolledBack", Lag: 30 * time.Second, Rollbacks: 1, HostRules: 2}
	c := New(func() (view.Node, []view.Counter, error) {
		return n, []view.Counter{{Rule: "f/ingress/a", Packets: 3, Bytes: 180}}, nil
	})
	want := `
# HELP kedge_firewall_lag_seconds For how long the wanted revision has not been in force; 0 where it is.
# TYPE kedge_firewall_lag_seconds gauge
kedge_firewall_lag_seconds 30
# HELP kedge_firewall_revision Revisions: wanted by the server, enforced by the kernel, proven by a fresh connection.
# TYPE kedge_firewall_revision gauge
kedge_firewall_revision{which="enforced"} 6
kedge_firewall_revision{which="proven"} 6
kedge_firewall_revision{which="wanted"} 7
# HELP kedge_firewall_rollbacks_total Revisions that were rolled back because the node lost its server.
# TYPE kedge_firewall_rollbacks_total counter
kedge_firewall_rollbacks_total 1
# HELP kedge_firewall_rule_packets_total Packets that a rule matched.
# TYPE kedge_firewall_rule_packets_total counter
kedge_firewall_rule_packets_total{rule="f/ingress/a"} 3
`
	err := testutil.CollectAndCompare(c, strings.NewReader(want), "kedge_firewall_lag_seconds", "kedge_firewall_revision",
		"kedge_firewall_rollbacks_total", "kedge_firewall_rule_packets_total")
	if err != nil {
		t.Error(err)
	}
}

func TestCountersThatCannotBeReadLeaveTheRest(t *testing.T) {
	c := New(func() (view.Node, []view.Counter, error) { return view.Node{Wanted: 1}, nil, errors.New("no iptables") })
	want := "# HELP kedge_firewall_up Whether the counters of the firewall can be read.\n# TYPE kedge_firewall_up gauge\nkedge_firewall_up 0\n"
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "kedge_firewall_up"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
