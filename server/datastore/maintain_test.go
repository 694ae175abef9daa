package datastore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

func TestCompactionRemovesHistory(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.stop(t)
	c := client(t, r.Endpoints()[0])
	for i := range 1800 {
		put(t, c, "/registry/a", fmt.Sprint(i))
	}
	i := r.running[0]
	if err := i.compact(t.Context(), 700); err != nil {
		t.Fatal(err)
	}
	f, err := i.look(t.Context())
	if err != nil || f.compactRevision != 700 {
		t.Fatalf("%+v, %v", f, err)
	}
	if got := get(t, c, "/registry/a"); got != "1799" {
		t.Errorf("after compaction the key is %q", got)
	}
	var rows int
	if err := i.own.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM kine WHERE id <= 700").Scan(&rows); err != nil || rows > 10 {
		t.Errorf("%d rows of history left, %v", rows, err)
	}
}

func TestCompactionThatDoesNotAdvanceIsAnError(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.stop(t)
	// Fewer than the retained revisions exist, so kine refuses silently.
	put(t, client(t, r.Endpoints()[0]), "/registry/a", "1")
	if err := r.running[0].compact(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "still at 0") {
		t.Errorf("got %v", err)
	}
}

func TestReaderThatHoldsTheLogIsReportedAndLaterForgotten(t *testing.T) {
	cfg := testConfig(t)
	var trouble atomic.Value
	cfg.Report = func(err error) { trouble.Store(fmt.Sprint(err)) }
	cfg.VolatileDir = ""
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := s.instances()
	i.tune.rules.truncateAt, i.tune.rules.truncateEvery = 64<<10, 0
	i.tune.rules.checkpointAt = 16 << 10
	if err := errors.Join(prepareDir(cfg.SocketDir), s.prepare(t.Context()), createSQLite(t.Context(), i.path, 4096), i.open(t.Context(), 0)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	reader, err := i.kine.DB.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := reader.ExecContext(ctx, "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if err := reader.QueryRowContext(ctx, "SELECT COUNT(*) FROM kine").Scan(&n); err != nil {
		t.Fatal(err)
	}
	c := client(t, i.url())
	for k := range 40 {
		put(t, c, fmt.Sprintf("/registry/%d", k), strings.Repeat("x", 4000))
	}
	s.note(i, i.step(ctx))
	if got, _ := trouble.Load().(string); !strings.Contains(got, "write-ahead log has grown") {
		t.Fatalf("reported %q", got)
	}
	if _, err := reader.ExecContext(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	eventually(t, "the trouble is over", func() bool {
		s.note(i, i.step(ctx))
		return trouble.Load() == "<nil>"
	})
	if w, err := i.checkpoint(ctx, "NOOP"); err != nil || w.frames != 0 {
		t.Errorf("log still has %d frames, %v", w.frames, err)
	}
}

func TestKineGivingUpEndsTheComponentNotTheProcess(t *testing.T) {
	r := start(t, testConfig(t))
	go logrus.Fatalf("Transaction commit failed: %v", errors.New("database or disk is full"))
	select {
	case err := <-r.done:
		if !errors.Is(err, errKine) || !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the component went on")
	}
}
