package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/agent/bandwidth/view"
	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
)

// daemonWith answers on the status socket of a data directory, which it returns.
func daemonWith(t *testing.T, handlers map[string]http.HandlerFunc) string {
	t.Helper()
	emptyConfig(t, "")
	dir := t.TempDir()
	s, err := health.Listen(paths.New(dir).StatusSocket(), "")
	if err != nil {
		t.Fatal(err)
	}
	for path, h := range handlers {
		s.Handle(path, h)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx, func() health.Report { return health.Report{} })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return dir
}

// counting tells of a pod that sends 125 kB between two questions a second apart.
func counting(asked *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		node := snapshot.Node{Node: "edge-1" + r.URL.Query().Get("node"), Time: time.Unix(n, 0)}
		node.Pods = []snapshot.Pod{{Namespace: "shop", Name: "web", Classes: []snapshot.Class{{
			Owner: "pod shop/web", Direction: "egress", Device: "kedge-out0", Handle: "6b65:20", Ceil: 2 * bitrate.Mbit,
			Counters: snapshot.Counters{Bytes: uint64(n) * 125_000},
		}}}}
		_ = json.NewEncoder(w).Encode(node)
	}
}

func TestTopTakesTwoLooks(t *testing.T) {
	var asked atomic.Int64
	dir := daemonWith(t, map[string]http.HandlerFunc{snapshot.PathStatus: counting(&asked)})
	out, stderr, code := execute(t, "bandwidth", "top", "--data-dir", dir, "--interval", "200ms")
	if code != exitOK || !strings.Contains(out, "shop/web") || !strings.Contains(out, "1 Mbit/s") || asked.Load() != 2 {
		t.Errorf("code %d after %d questions: %s%s", code, asked.Load(), out, stderr)
	}
	out, _, _ = execute(t, "bandwidth", "top", "--data-dir", dir, "--interval", "200ms", "-o", "json", "--node", "-x")
	var top view.Top
	if err := json.Unmarshal([]byte(out), &top); err != nil || top.Node != "edge-1-x" || top.Rows[0].Directions.Egress.Now != bitrate.Mbit {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTopIsWatchedUntilInterrupted(t *testing.T) {
	var asked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	dir := daemonWith(t, map[string]http.HandlerFunc{snapshot.PathStatus: func(w http.ResponseWriter, r *http.Request) {
		if counting(&asked)(w, r); asked.Load() == 4 {
			cancel()
		}
	}})
	var out strings.Builder
	watched := &top{nodeQuestion: &nodeQuestion{dataDir: &dir}, watch: true, interval: minTopInterval, sort: view.DefaultSort, output: "table"}
	if err := watched.run(ctx, &out); err != nil || strings.Count(out.String(), "shop/web") < 2 || strings.Contains(out.String(), clearScreen) {
		t.Errorf("%v: %q", err, out.String())
	}
}

func TestShowFindsThePod(t *testing.T) {
	dir := daemonWith(t, map[string]http.HandlerFunc{snapshot.PathStatus: counting(new(atomic.Int64))})
	if out, stderr, code := execute(t, "bandwidth", "show", "--data-dir", dir, "shop/web"); code != exitOK || !strings.Contains(out, "kedge-out0 6b65:20") {
		t.Errorf("code %d: %s%s", code, out, stderr)
	}
	if _, stderr, code := execute(t, "bandwidth", "show", "--data-dir", dir, "web"); code != exitFailure || !strings.Contains(stderr, "there is shop/web") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestPlanIsPrintedOrCompared(t *testing.T) {
	var differs atomic.Value
	differs.Store("")
	dir := daemonWith(t, map[string]http.HandlerFunc{
		snapshot.PathPlan:  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the plan\n")) },
		snapshot.PathCheck: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(differs.Load().(string))) },
	})
	if out, _, code := execute(t, "bandwidth", "plan", "--data-dir", dir); code != exitOK || out != "the plan\n" {
		t.Errorf("code %d: %s", code, out)
	}
	if out, _, code := execute(t, "bandwidth", "plan", "--check", "--data-dir", dir); code != exitOK || out != "the kernel is as planned\n" {
		t.Errorf("code %d: %s", code, out)
	}
	differs.Store("- class 6b65:20\n")
	if out, _, code := execute(t, "bandwidth", "plan", "--check", "--data-dir", dir); code != exitFailure || out != "- class 6b65:20\n" {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestQuestionsAboutBandwidthNeedADaemon(t *testing.T) {
	emptyConfig(t, "")
	for _, args := range [][]string{{"top"}, {"show", "web"}, {"plan"}, {"measure", "edge-1"}} {
		args = append(append([]string{"bandwidth"}, args...), "--data-dir", t.TempDir())
		if _, stderr, code := execute(t, args...); code != exitNotRunning {
			t.Errorf("%q: code %d: %s", args, code, stderr)
		}
	}
}

func TestALineIsMeasuredOnAServer(t *testing.T) {
	dir := daemonWith(t, nil) // an agent's, which measures nothing
	for _, command := range [][]string{{"bandwidth", "measure", "edge-1"}, {"link", "bench", "edge-1"}} {
		_, stderr, code := execute(t, append(command, "--data-dir", dir)...)
		if code != exitFailure || !strings.Contains(stderr, "this is no server: measure the line of edge-1 on the server") {
			t.Errorf("%q: code %d: %s", command, code, stderr)
		}
	}
}
