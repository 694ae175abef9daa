package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/view"
)

// telling answers with a value.
func telling(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
}

func TestFirewallStatusIsOfTheFleetOrOfTheNode(t *testing.T) {
	node := func(w http.ResponseWriter, r *http.Request) {
		telling(view.Node{Node: "edge-1" + r.URL.Query().Get("node"), State: "proven"})(w, r)
	}
	server := daemonWith(t, map[string]http.HandlerFunc{
		view.PathNode:   node,
		view.PathStatus: telling(view.Fleet{Revision: 7, Nodes: []view.Standing{{Node: "edge-1", State: "RolledBack", Reason: "no way to the server"}}}),
	})
	if out, stderr, code := execute(t, "firewall", "status", "--data-dir", server); code != exitFailure || !strings.Contains(out, "edge-1: no way to the server") {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	if out, stderr, code := execute(t, "firewall", "status", "--data-dir", server, "--node", "-x", "-o", "json"); code != exitOK || !strings.Contains(out, `"edge-1-x"`) {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	agent := daemonWith(t, map[string]http.HandlerFunc{view.PathNode: node})
	if out, stderr, code := execute(t, "firewall", "status", "--data-dir", agent); code != exitOK || !strings.Contains(out, "edge-1") || !strings.Contains(out, "proven") {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
}

func TestFirewallPlanSendsManifests(t *testing.T) {
	var got, query string
	answer := view.Plan{Nodes: []view.PlannedNode{{Node: "edge-1", Changed: true, Difference: &plan.Difference{Added: []string{"egress default deny (a)"}}}}}
	dir := daemonWith(t, map[string]http.HandlerFunc{view.PathPlan: func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, query = string(raw), r.URL.Query().Encode()
		telling(answer)(w, r)
	}})
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("kind: A"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := execute(t, "firewall", "plan", "--data-dir", dir, "-f", file, "-f", file, "--node", "edge-1", "--delete", "b,c")
	if code != exitOK || !strings.Contains(out, "+ egress default deny (a)") || got != "kind: A\n---\nkind: A\n---\n" || query != "delete=b&delete=c&node=edge-1" {
		t.Errorf("code %d: %s%s; sent %q ? %s", code, out, stderr, got, query)
	}
	answer.Nodes[0].Risks = []plan.Risk{{What: "link", By: "default/a", SavedBy: "implied/servers"}}
	if out, _, code := execute(t, "firewall", "plan", "--data-dir", dir, "-f", file); code != exitOK || !strings.Contains(out, "implied/servers keeps it open") {
		t.Errorf("what is implied: code %d: %s", code, out)
	}
	answer.Nodes[0].Risks[0].SavedBy = ""
	if out, _, code := execute(t, "firewall", "plan", "--data-dir", dir, "-f", file); code != exitFailure || !strings.Contains(out, "CUT") {
		t.Errorf("what is cut: code %d: %s", code, out)
	}
	answer = view.Plan{Problems: []string{"spec.priority: 7000"}}
	if out, _, code := execute(t, "firewall", "plan", "--data-dir", dir, "--delete", "b"); code != exitFailure || !strings.Contains(out, "problem: spec.priority: 7000") {
		t.Errorf("problems: code %d: %s", code, out)
	}
	if _, stderr, code := execute(t, "firewall", "plan", "--data-dir", dir); code != exitUsage || !strings.Contains(stderr, "give manifests with -f FILE") {
		t.Errorf("nothing: code %d: %s", code, stderr)
	}
	if _, stderr, code := execute(t, "firewall", "plan", "--data-dir", daemonWith(t, nil), "--delete", "b"); code != exitFailure || !strings.Contains(stderr, "this is no server: plan on the server") {
		t.Errorf("agent: code %d: %s", code, stderr)
	}
}

func TestFirewallExplainAsksServerOrNode(t *testing.T) {
	decide := func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		telling(view.Decision{Node: "edge-1" + q.Get("node"), Packet: model.Packet{Protocol: model.Protocol(q.Get("protocol")), Link: q.Get("link")}, Decision: model.Decision{Verdict: model.Allow, Rule: "implied/servers", Why: "always"}})(w, r)
	}
	ends := []string{"--from", "203.0.113.7", "--to", "10.0.0.1:22"}
	run := func(dir string, args ...string) (string, string, int) {
		return execute(t, append(append([]string{"firewall", "explain", "--data-dir", dir}, ends...), args...)...)
	}
	server := daemonWith(t, map[string]http.HandlerFunc{view.PathDecide: decide, view.PathExplain: telling(view.Explanation{
		Protocol: model.TCP, From: view.End{Address: netip.MustParseAddrPort("203.0.113.7:40000")}, To: view.End{Address: netip.MustParseAddrPort("10.0.0.1:22")},
		Verdict: model.Deny, Why: "default/base denies it",
	})})
	if out, stderr, code := run(server); code != exitOK || !strings.Contains(out, "=> deny: default/base denies it") {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	if out, stderr, code := run(server, "--node", "-x", "--link", "eth0", "-o", "json"); code != exitOK || !strings.Contains(out, `"edge-1-x"`) {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	if out, stderr, code := run(daemonWith(t, map[string]http.HandlerFunc{view.PathDecide: decide})); code != exitOK || !strings.Contains(out, "allow by implied/servers: always") {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	ends = nil
	if _, stderr, code := run(server); code != exitUsage || !strings.Contains(stderr, "give --from A and --to B:PORT") {
		t.Errorf("code %d: %s", code, stderr)
	}
	ends = []string{"--from", "a", "--to", "b", "--protocol", "gre"}
	if _, stderr, code := run(server); code != exitUsage || !strings.Contains(stderr, `--protocol "gre": expected tcp, udp, icmp or sctp`) {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestFirewallCountersOfANode(t *testing.T) {
	dir := daemonWith(t, map[string]http.HandlerFunc{view.PathCounters: telling([]view.Counter{{Rule: "a/ingress/ssh", Packets: 3}, {Rule: "idle"}})})
	if out, stderr, code := execute(t, "firewall", "counters", "--data-dir", dir); code != exitOK || !strings.Contains(out, "a/ingress/ssh") || strings.Contains(out, "idle") {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	if out, _, _ := execute(t, "firewall", "counters", "--data-dir", dir, "--all"); !strings.Contains(out, "idle") {
		t.Error(out)
	}
}
