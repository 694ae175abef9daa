package diagnosis

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// expect compares what is not well: severity, id, and a part of the text after a
// colon.
func expect(t *testing.T, got []finding.Finding, want ...string) {
	t.Helper()
	var have []string
	for _, f := range got {
		if f.Severity != finding.OK {
			have = append(have, fmt.Sprintf("%s %s: %s", f.Severity, f.ID, f.What))
		}
	}
	ok := len(have) == len(want)
	for i := range min(len(have), len(want)) {
		head, part, _ := strings.Cut(want[i], ": ")
		ok = ok && strings.HasPrefix(have[i], head+": ") && strings.Contains(have[i], part)
	}
	if !ok {
		t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(have, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// healthy is a server that has been up for a day.
func healthy() Node {
	return Node{
		Now: now, Version: "1.0.0",
		Report: health.Report{Role: "server", Node: "edge-1", Version: "1.0.0", Started: ago(24 * time.Hour), Components: []lifecycle.Status{
			{Name: "datastore", State: lifecycle.StateReady, Since: ago(24 * time.Hour), LastError: "of yesterday"},
		}},
		Links:     []Link{{Peer: "edge-2", Up: true, Since: ago(time.Hour), Lanes: 3, Reconnects: 4}},
		Databases: []Database{{Path: "state.db", Bytes: 50 << 20, FreeBytes: 5 << 20, LogBytes: 4 << 20, Revision: 12_000, CompactRevision: 10_000}},
		Snapshots: &Snapshots{Last: ago(5 * time.Hour), Name: "a"},
	}
}

func TestHealthyNodeHasNothingToSay(t *testing.T) {
	got := healthy().Findings()
	expect(t, got)
	if len(got) < 7 {
		t.Errorf("what is well is not said: %v", got)
	}
}

func TestDaemons(t *testing.T) {
	n := healthy()
	n.Down = errors.New("no daemon is running")
	expect(t, n.daemon(), "error node.daemon: no daemon is running")

	n = healthy()
	n.Version = "1.1.0"
	n.Report.Components = append(n.Report.Components,
		lifecycle.Status{Name: "kubelet", State: lifecycle.StateFailed, LastError: "no /dev/kmsg"},
		lifecycle.Status{Name: "dns", State: lifecycle.StateStarting, Since: ago(time.Hour), LastError: "port 53"},
		lifecycle.Status{Name: "bandwidth", State: lifecycle.StateReady, Degraded: true, Since: ago(time.Hour), LastError: "no IFB"},
	)
	n.Report.Conditions = []health.Condition{{Name: "PodRelay", Status: health.ConditionWarning, Message: "no TUN"}, {Name: "Swap", Status: health.ConditionAdapted, Message: "1 GiB"}}
	expect(t, n.daemon(), "warning node.version: 1.0.0, this program 1.1.0", "error node.component: kubelet has failed: no /dev/kmsg", "error node.component: dns is starting since 1h0m: port 53",
		"warning node.degraded: bandwidth, since 1h0m: no IFB", "warning node.condition: PodRelay", "info node.condition: Swap")
}

func TestStartIsNoTrouble(t *testing.T) {
	n := healthy()
	n.Report.Started = ago(20 * time.Second)
	n.Report.Components = []lifecycle.Status{{Name: "kubelet", State: lifecycle.StateWaiting, Since: ago(20 * time.Second)}}
	n.Snapshots = &Snapshots{}
	n.Links[0].Reconnects = 0
	expect(t, n.Findings(), "info node.component: kubelet is waiting", "info snapshots.none: none yet")
}

func TestLinks(t *testing.T) {
	n := healthy()
	n.Links = append(n.Links, Link{Peer: "edge-3", Since: ago(time.Hour), LastError: "refused"}, Link{Peer: "edge-4", Up: true, Since: ago(time.Hour), Lanes: 1, Reconnects: 500})
	expect(t, n.links(), "warning link.down: 1 of 3 links are down: edge-3 (since 1h0m: refused)", "warning link.flapping: edge-4 (500 times)", "info link.lanes: edge-4")
	n.Links = nil
	for i := range 40 {
		n.Links = append(n.Links, Link{Peer: fmt.Sprint("edge-", i), Since: ago(time.Hour)})
	}
	got := n.links()
	expect(t, got, "warning link.down: and 30 more")
	n.LinksError = errors.New("no answer")
	expect(t, n.links(), "warning link.down: no answer")
}

func TestDatabases(t *testing.T) {
	n := healthy()
	n.Databases = []Database{{Path: "state.db", Bytes: 5 << 30, FreeBytes: 4 << 30, LogBytes: 1 << 30, Revision: 1_000_000, CompactRevision: 100}}
	expect(t, n.databases(), "warning datastore.size: 5120 MiB", "warning datastore.wal: 1024 MiB", "info datastore.free-pages: 4096 of 5120 MiB", "warning datastore.compaction: up to 100")
	n.DatabasesError = errors.New("locked")
	expect(t, n.databases(), "warning datastore.stat: locked")
}

func TestCertificates(t *testing.T) {
	cert := func(issued, end time.Duration) Certificate {
		return Certificate{Path: "a.crt", Cert: &x509.Certificate{NotBefore: now.Add(issued), NotAfter: now.Add(end)}}
	}
	n := Node{Now: now}
	const day = 24 * time.Hour
	n.Certificates = []Certificate{cert(-day, 364*day)}
	expect(t, n.certificates())
	// Two thirds of its life are over: the daemon has some time to renew it.
	n.Certificates = []Certificate{cert(-21*day, 9*day)}
	expect(t, n.certificates())
	n.Certificates = []Certificate{cert(-25*day, 5*day), cert(-40*day, -10*day), {Err: errors.New("read b.crt")}}
	expect(t, n.certificates(), "warning certificates.soon: should have been renewed 5d0h ago", "error certificates.expired: over since 10d0h", "warning certificates.read: b.crt")
	// Ten minutes of life are judged by the same share.
	n.Certificates = []Certificate{cert(-7*time.Minute, 3*time.Minute)}
	expect(t, n.certificates())
}

func TestSnapshots(t *testing.T) {
	n := healthy()
	n.Snapshots = &Snapshots{Last: ago(30 * time.Hour), Name: "a", Bad: []string{"b (cut off)"}}
	expect(t, n.snapshots(), "info snapshots.list: b (cut off)", "warning snapshots.age: 1d6h old (a)")
	n.Snapshots = &Snapshots{Last: ago(40 * time.Hour), Name: "a", Every: 24 * time.Hour}
	expect(t, n.snapshots())
	n.Snapshots = &Snapshots{Last: ago(50 * time.Hour), Name: "a", Every: 24 * time.Hour}
	expect(t, n.snapshots(), "warning snapshots.age: 2d2h old (a)")
	n.Snapshots = &Snapshots{}
	expect(t, n.snapshots(), "warning snapshots.none: there is none")
	n.Snapshots = &Snapshots{Err: errors.New("permission denied")}
	expect(t, n.snapshots(), "warning snapshots.list: permission denied")
	n.Snapshots = nil
	expect(t, n.snapshots())
}
