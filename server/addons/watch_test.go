package addons

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/folderwatch"
)

// wait waits until the cluster has these objects, as has writes them.
func (b *bench) wait(want string) {
	b.t.Helper()
	deadline, probe := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer probe.Stop()
	for b.has() != want {
		select {
		case <-deadline:
			b.t.Fatalf("the cluster has %q, want %q", b.has(), want)
		case <-probe.C:
		}
	}
}

func TestLoopGoesOnWithoutAnInotifyInstance(t *testing.T) {
	b := newBench(t)
	var last error
	m := &Manifests{
		cfg:    Config{Dir: b.dir, Log: slog.New(slog.DiscardHandler), Report: func(err error) { last = err }},
		settle: time.Millisecond, faults: map[string]string{},
		watch: func(log *slog.Logger) *folderwatch.Watcher {
			return folderwatch.Poll(log, time.Millisecond, syscall.EMFILE)
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- m.loop(ctx, b.cluster, func() { close(ready) }) }()
	<-ready
	for _, next := range []struct{ file, name, want string }{{"a.yaml", "x", "x"}, {"b.yaml", "yy", "x yy"}} {
		b.write(next.file, cm(next.name))
		b.wait(next.want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !errors.Is(last, syscall.EMFILE) {
		t.Errorf("reported %v", last)
	}
}
