package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/rotation"
)

// issued makes the certificates of a server.
func issued(t *testing.T, now time.Time, lifetime time.Duration) (paths.Layout, string) {
	t.Helper()
	dir := t.TempDir()
	layout, kubeconfig := paths.New(filepath.Join(dir, "data")), filepath.Join(dir, "kedge.yaml")
	_, err := certs.Ensure(certs.Config{
		Layout: layout, NodeName: "server-1", ClusterDomain: "cluster.local", HTTPSPort: 6443,
		ServiceIPs: []netip.Addr{netip.MustParseAddr("10.43.0.1")}, AdvertiseAddress: netip.MustParseAddr("192.0.2.7"),
		AdminKubeconfig: kubeconfig, Lifetime: lifetime,
	}, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return layout, kubeconfig
}

func TestCertCheckFindsEveryCertificateAndWhatIsWrong(t *testing.T) {
	now := time.Now()
	layout, kubeconfig := issued(t, now, 10*time.Minute)
	files := certFiles(layout, kubeconfig)
	found := inspect(files, now)
	if len(found) != 15 || worst(found) != nil {
		t.Fatalf("%d certificates: %v", len(found), worst(found))
	}
	for _, step := range []struct {
		after time.Duration
		state pki.State
	}{{9 * time.Minute, pki.StateSoon}, {time.Hour, pki.StateEnded}} {
		later := inspect(files, now.Add(step.after))
		states := map[string]pki.State{}
		for _, c := range later {
			states[c.Name] = c.State
		}
		if states["API server"] != step.state || states["administrator's kubeconfig"] != step.state || states["server authority"] != pki.StateGood {
			t.Errorf("after %s: %v", step.after, states)
		}
		if worst(later) == nil {
			t.Errorf("after %s: exit code 0", step.after)
		}
	}
	if err := os.WriteFile(certs.NewPaths(layout).Admin.Cert, []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	spoilt := inspect(files, now)
	var b bytes.Buffer
	if err := writeCerts(&b, spoilt); err != nil || worst(spoilt) == nil || !strings.Contains(b.String(), "unreadable") {
		t.Errorf("a spoilt file: %v\n%s", worst(spoilt), b.String())
	}
	if text, err := json.Marshal(found[0]); err != nil || !strings.Contains(string(text), `"authority":"kedge-server-ca"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestTimeLeftIsSaidInTheUnitThatMatters(t *testing.T) {
	for d, want := range map[time.Duration]string{
		90 * time.Second: "1m30s", 47 * time.Hour: "47 h", 49 * time.Hour: "2 days", -time.Minute: "-1m0s",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q", d, got)
		}
	}
}

func TestRotationIsSaidWithWhatIsNext(t *testing.T) {
	at := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		report rotation.Report
		step   string
		want   []string
	}{
		{rotation.Report{}, stepStatus, []string{"No authority is being replaced"}},
		{rotation.Report{}, rotation.Finish, []string{"are gone", "kedge token rotate"}},
		{rotation.Report{State: certs.State{Phase: certs.PhasePrepared, Began: at}}, rotation.Prepare, []string{"kedge cert rotate-ca switch"}},
		{
			rotation.Report{State: certs.State{Phase: certs.PhaseSwitched, Switched: at}, Nodes: []rotation.Node{{Name: "edge-1"}, {Name: "edge-2", Ready: true}}},
			rotation.Switch, []string{"2027-03-01T12:00:00Z", "Not ready yet: edge-1 (not connected)\n", "kedge cert rotate-ca finish"},
		},
	} {
		var b bytes.Buffer
		if err := writeRotation(&b, c.report, c.step); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: %q is not in:\n%s", c.step, want, b.String())
			}
		}
	}
}
