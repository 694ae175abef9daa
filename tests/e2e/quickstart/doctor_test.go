package quickstart

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/tests/lab"
)

// findings runs kedge check or doctor on a host and returns what it found by id; of
// several with one id the worst.
func findings(t *testing.T, h *lab.Host, env []string, args ...string) map[finding.ID]finding.Finding {
	t.Helper()
	argv := append(append([]string{"env"}, env...), append([]string{"kedge"}, append(args, "--json")...)...)
	out, errOut, err := h.Run(t.Context(), argv...)
	var report struct {
		Severity finding.Severity
		Findings []finding.Finding
	}
	if jsonErr := json.Unmarshal([]byte(out), &report); jsonErr != nil {
		t.Fatalf("%v on %s: %v, %v: %s%s", args, h.Name(), err, jsonErr, out, errOut)
	}
	byID := map[finding.ID]finding.Finding{}
	for _, f := range report.Findings {
		if f.Severity == finding.Error {
			t.Errorf("%v on %s: %s: %s", args, h.Name(), f.ID, f.What)
		}
		if have, ok := byID[f.ID]; !ok || f.Severity.Worse(have.Severity) {
			byID[f.ID] = f
		}
	}
	if (err == nil) != (report.Severity != finding.Error) {
		t.Errorf("%v on %s ends with %v, the worst finding is %s", args, h.Name(), err, report.Severity)
	}
	return byID
}

func well(t *testing.T, what string, found map[finding.ID]finding.Finding, ids ...finding.ID) {
	t.Helper()
	for _, id := range ids {
		if f, ok := found[id]; !ok || f.Severity != finding.OK {
			t.Errorf("%s: %s is not well: %+v", what, id, f)
		}
	}
}

// checked looks at a machine before it joins.
func checked(t *testing.T, h *lab.Host, env ...string) {
	t.Helper()
	well(t, "before the join", findings(t, h, env, "check", "--role", "agent"), finding.Server, finding.PortTaken, finding.Namespaces, finding.NFTFeatures, finding.Overlay)
	other := append(slices.Clone(env), "KEDGE_TOKEN=K1"+strings.Repeat("ab", 32)+"::abc123.abcdefghijklmnopqrstuvwxyz")
	out, _, err := h.Run(t.Context(), append(append([]string{"env"}, other...), "kedge", "check", "--role", "agent")...)
	if err == nil || !strings.Contains(out, string(finding.ServerPin)) {
		t.Errorf("a token of another cluster: %v: %s", err, out)
	}
}

// diagnosed looks at both nodes while they run, and packs what it sees.
func diagnosed(t *testing.T, l *lab.Lab, token string) {
	t.Helper()
	for _, name := range []string{"server", "edge1"} {
		h := l.Host(name)
		found := findings(t, h, nil, "doctor")
		well(t, "doctor on "+name, found, finding.Daemon, finding.Component, finding.LinkDown, finding.CertExpired, finding.PortTaken, finding.RangeRoute)
		if name == "server" {
			well(t, "doctor on the server", found, finding.StoreSize, finding.StoreWAL, finding.StoreCompact)
		} else {
			well(t, "doctor on the agent", found, finding.Server)
		}
		out, errOut, err := h.Run(t.Context(), "sh", "-c", "kedge support-bundle -o /tmp/bundle.tar.gz && cd /tmp && tar xzf bundle.tar.gz && cat kedge-*/contents.json kedge-*/api/nodes.json kedge-*/kernel/links.txt && grep -rl -e '"+token+"' -e 'PRIVATE KEY' kedge-*; rm -r /tmp/bundle.tar.gz /tmp/kedge-*")
		if err != nil || !strings.Contains(out, "kedge0") || !strings.Contains(out, `"name": "edge1"`) || !strings.Contains(out, "logs/var_log_kedge.log") {
			t.Errorf("the bundle of %s: %v: %s%s", name, err, out, errOut)
		}
		if strings.Contains(out, "kedge-"+name+"-") {
			t.Errorf("secrets in the bundle of %s:\n%s", name, out)
		}
	}
}
