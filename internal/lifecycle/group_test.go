package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// journal records events in the order in which they happen.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) add(e string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) index(e string) int { return slices.Index(j.events, e) }

// steady is a component that runs until it is told to stop and takes a while
// for both.
func (j *journal) steady(name string, needs ...string) Component {
	return Component{Name: name, Needs: needs, Run: func(ctx context.Context, ready func()) error {
		j.add("start " + name)
		time.Sleep(time.Second) // fake time of synctest
		j.add("ready " + name)
		ready()
		<-ctx.Done()
		j.add("stopping " + name)
		time.Sleep(time.Second)
		j.add("stop " + name)
		return ctx.Err()
	}}
}

func newTestGroup(t *testing.T, comps ...Component) *Group {
	t.Helper()
	g, err := NewGroup(slog.New(slog.DiscardHandler), comps...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGroupStartsByNeedsAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := newTestGroup(t, j.steady("kubelet", "api", "runtime"), j.steady("api", "db"), j.steady("db"), j.steady("runtime"))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Minute)
			cancel()
		}()
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for _, order := range [][2]string{
			{"ready db", "start api"}, {"ready api", "start kubelet"}, {"ready runtime", "start kubelet"},
			{"start runtime", "ready db"}, // independent ones start together
			{"stop kubelet", "stopping api"}, {"stop kubelet", "stopping runtime"}, {"stop api", "stopping db"},
		} {
			if a, b := j.index(order[0]), j.index(order[1]); a < 0 || b < 0 || a > b {
				t.Errorf("%q does not come before %q in %v", order[0], order[1], j.events)
			}
		}
		for _, s := range g.Status() {
			if s.State != StateStopped || s.LastError != "" {
				t.Errorf("after the stop: %+v", s)
			}
		}
	})
}

func TestFailureEndsTheGroupAndNamesTheComponent(t *testing.T) {
	for name, run := range map[string]func(context.Context, func()) error{
		"boom":           func(context.Context, func()) error { return errors.New("boom") },
		"returned while": func(_ context.Context, ready func()) error { ready(); return nil },
		"panic: oh":      func(context.Context, func()) error { panic("oh") },
	} {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			g := newTestGroup(t, j.steady("db"), Component{Name: "bad", Needs: []string{"db"}, Run: run}, j.steady("late", "bad"))
			err := g.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "bad: "+name) {
				t.Fatalf("got %v, want it to name bad and %s", err, name)
			}
			if j.index("stop db") < 0 {
				t.Fatal("db was not stopped")
			}
			for _, s := range g.Status() {
				if s.Name == "bad" && (s.State != StateFailed || !strings.Contains(s.LastError, name)) {
					t.Errorf("status %+v", s)
				}
			}
		})
	}
}

func TestPrepareFailureStartsNothing(t *testing.T) {
	var j journal
	bad := j.steady("bad")
	bad.Prepare = func(context.Context) error { return errors.New("port taken") }
	g := newTestGroup(t, j.steady("db"), bad)
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "bad: port taken") {
		t.Fatalf("got %v", err)
	}
	if len(j.events) != 0 {
		t.Fatalf("something ran: %v", j.events)
	}
}

func TestGraphProblemsAreAllReported(t *testing.T) {
	var j journal
	_, err := NewGroup(slog.Default(), j.steady("a", "ghost"), j.steady("a"), Component{Name: "empty"})
	for _, want := range []string{`"ghost"`, `"a" is listed twice`, `"empty"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
	_, err = NewGroup(slog.Default(), j.steady("a", "b"), j.steady("b", "c"), j.steady("c", "a"))
	if err == nil || !strings.Contains(err.Error(), "a -> b -> c -> a") {
		t.Errorf("circle: %v", err)
	}
}

func TestReportMarksAndClearsDegradation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		g := newTestGroup(t, j.steady("db"))
		var seen atomic.Int32
		g.OnChange(func([]Status) { seen.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(10 * time.Second)
			before := seen.Load()
			g.Report("db", errors.New("wal is large"))
			g.Report("db", errors.New("wal is large"))
			if s := g.Status()[0]; !s.Degraded || s.State != StateReady || s.LastError != "wal is large" {
				t.Errorf("after the report: %+v", s)
			}
			if seen.Load() != before+1 {
				t.Errorf("observer called %d times for one change", seen.Load()-before)
			}
			g.Report("db", nil)
			if s := g.Status()[0]; s.Degraded || s.LastError == "" {
				t.Errorf("after recovery: %+v", s)
			}
			g.Report("nobody", errors.New("ignored"))
			cancel()
		}()
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
