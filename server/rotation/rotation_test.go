package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/server/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a keeper of real certificates and nodes that renew as real ones do:
// they say what they trust, and then learn.
type fleet struct {
	*Rotation
	keeper *certs.Keeper
	now    time.Time

	mu    sync.Mutex
	nodes map[string]*member
}

type member struct {
	connected bool
	out       bool     // revoked
	trusts    []string // what it trusts
	issuer    string   // whose certificate it shows
	told      Node     // what the server has noted
	renewed   int
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{now: time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC), nodes: map[string]*member{}}
	f.keeper = certs.NewKeeper(certs.Config{
		Layout: paths.New(filepath.Join(t.TempDir(), "data")), NodeName: "server-1", ClusterDomain: "cluster.local",
		ServiceIPs: []netip.Addr{netip.MustParseAddr("10.43.0.1")}, AdvertiseAddress: netip.MustParseAddr("192.0.2.7"),
		HTTPSPort: 6443, Now: f.clock,
	}, slog.New(slog.DiscardHandler), nil)
	if err := f.keeper.Ensure(); err != nil {
		t.Fatal(err)
	}
	f.Rotation = New(Config{Keeper: f.keeper, Nodes: f.list, Renew: f.renew, Now: f.clock, Log: slog.New(slog.DiscardHandler)})
	for _, name := range []string{"edge-1", "edge-2"} {
		f.nodes[name] = &member{connected: true}
		for range 2 { // joined, and renewed once
			if err := f.renew(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

func (f *fleet) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fleet) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fleet) set(name string, connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[name].connected = connected
}

func (f *fleet) list(context.Context) ([]Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var nodes []Node
	for name, m := range f.nodes {
		n := m.told
		n.Name, n.Connected, n.Out = name, m.connected, m.out
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (f *fleet) renew(_ context.Context, name string) error {
	a, err := f.keeper.Authorities()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.nodes[name]
	if !m.connected {
		return errors.New("cut off")
	}
	m.told = Node{Trusts: m.trusts, Issuer: m.issuer}
	m.trusts, m.issuer = nil, pki.PinOf(a.Client.Cert).String()
	for _, ca := range a.Server {
		m.trusts = append(m.trusts, pki.PinOf(ca).String())
	}
	m.renewed++
	return nil
}

// run has the component work for a while.
func (f *fleet) run(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := f.Component().Run(ctx, func() {}); err != nil {
		t.Fatal(err)
	}
}

func (f *fleet) must(t *testing.T, step string) Report {
	t.Helper()
	report, err := f.Step(t.Context(), step, false)
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	return report
}

func TestNodesLearnAndTheFormerAuthoritiesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		before, _ := f.keeper.Authorities()
		f.must(t, Prepare)
		f.must(t, Switch)
		f.run(t, time.Minute)
		report, err := f.Report(t.Context())
		if err != nil || len(report.Waiting()) > 0 {
			t.Fatal(report.Waiting(), err)
		}
		if _, err := f.Step(t.Context(), Finish, false); !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "five minutes") {
			t.Fatal("finished at once", err)
		}
		f.pass(Settling)
		if report := f.must(t, Finish); report.Phase != certs.PhaseNone {
			t.Fatal(report.Phase)
		}
		f.run(t, time.Minute)
		gone := pki.PinOf(before.Server[0]).String()
		for name, m := range f.nodes {
			if slices.Contains(m.told.Trusts, gone) || len(m.trusts) != 1 {
				t.Errorf("%s trusts the former authority still", name)
			}
		}
	})
}

func TestFinishNamesWhoWouldBeCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.set("edge-2", false)
		f.must(t, Prepare)
		f.must(t, Switch)
		f.run(t, time.Minute)
		f.pass(Settling)
		_, err := f.Step(t.Context(), Finish, false)
		if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "edge-2 (not connected)") || strings.Contains(err.Error(), "edge-1") {
			t.Fatal(err)
		}
		f.set("edge-2", true)
		f.run(t, time.Minute)
		f.must(t, Finish)
	})
}

func TestForceFinishesAllTheSame(t *testing.T) {
	f := newFleet(t)
	f.must(t, Prepare)
	f.must(t, Switch)
	if report, err := f.Step(t.Context(), Finish, true); err != nil || report.Phase != certs.PhaseNone {
		t.Fatal(report.Phase, err)
	}
}

func TestStepsAreRepeatedAndKeptInOrder(t *testing.T) {
	f := newFleet(t)
	if _, err := f.Step(t.Context(), "jump", true); err == nil {
		t.Error("an unknown step")
	}
	if _, err := f.Step(t.Context(), Finish, true); !errors.Is(err, certs.ErrPhase) {
		t.Error(err)
	}
	first := f.must(t, Prepare)
	if again := f.must(t, Prepare); again.Next != first.Next {
		t.Error("prepared twice")
	}
	f.must(t, Switch)
	if again := f.must(t, Switch); again.Phase != certs.PhaseSwitched || again.Next != first.Next {
		t.Error(again.State)
	}
}

func TestNodeThatGetsNoFurtherIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.must(t, Prepare)
		f.must(t, Switch)
		asked := 0
		f.config.Renew = func(context.Context, string) error { asked++; return errors.New("an old version") }
		delete(f.nodes, "edge-2")
		f.run(t, 2*time.Hour)
		if asked < 5 || asked > 30 {
			t.Errorf("asked %d times in two hours", asked)
		}
	})
}

func TestQuietClusterIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		before := f.nodes["edge-1"].renewed
		listed := 0
		list := f.config.Nodes
		f.config.Nodes = func(ctx context.Context) ([]Node, error) { listed++; return list(ctx) }
		f.run(t, 24*time.Hour)
		if got := f.nodes["edge-1"].renewed - before; got != 0 || listed > 1 {
			t.Errorf("renewed %d times, nodes listed %d times", got, listed)
		}
	})
}

func TestHandlerTellsAndRefuses(t *testing.T) {
	f := newFleet(t)
	ask := func(method, query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, httptest.NewRequest(method, Path+query, nil))
		return w
	}
	if w := ask(http.MethodPost, "?step=finish"); w.Code != http.StatusConflict {
		t.Error(w.Code, w.Body)
	}
	if w := ask(http.MethodPost, "?step=prepare"); w.Code != http.StatusOK {
		t.Error(w.Code, w.Body)
	}
	w := ask(http.MethodGet, "")
	var report Report
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || report.Phase != certs.PhasePrepared || len(report.Nodes) != 2 {
		t.Error(err, w.Body)
	}
	if w := ask(http.MethodDelete, ""); w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
}
