package hostports

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a runtime with containers that a test changes.
type fake struct {
	mu         sync.Mutex
	containers []map[string]string
	err        error
	events     chan struct{}
}

func (f *fake) HostContainers(context.Context) ([]map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.containers, f.err
}

func (f *fake) Watch(ctx context.Context, changed func()) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-f.events:
			if !ok {
				return errors.New("the runtime ended")
			}
			changed()
		}
	}
}

func (f *fake) set(err error, ports ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers, f.err = nil, err
	for _, p := range ports {
		f.containers = append(f.containers, map[string]string{Annotation: `[{"containerPort":` + p + `}]`})
	}
}

func TestWatcherFollowsTheRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{events: make(chan struct{})}
		var reported error
		w := New(f, slog.New(slog.DiscardHandler), func(err error) { reported = err })
		changed := w.Subscribe()
		want := func(what string, notes int, ports ...uint16) {
			t.Helper()
			synctest.Wait()
			var got []uint16
			for _, p := range w.Ports() {
				got = append(got, p.Number)
			}
			if !slices.Equal(got, ports) || len(w.TCP()) != len(ports) || len(changed) != notes {
				t.Errorf("%s: ports %v with %d notes, want %v with %d", what, got, len(changed), ports, notes)
			}
			select {
			case <-changed:
			default:
			}
		}
		want("before the first answer", 0)
		f.set(errors.New("not up yet"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		isReady := false
		go func() { ended <- w.Run(ctx, func() { isReady = true }) }()
		want("without a runtime", 0)
		if reported == nil || isReady {
			t.Errorf("without a runtime: reported %v, ready %v", reported, isReady)
		}
		f.set(nil, "80")
		<-time.After(3 * retryAfter) // of synctest
		want("with a runtime", 1, 80)
		if reported != nil || !isReady {
			t.Errorf("with a runtime: reported %v, ready %v", reported, isReady)
		}
		f.set(nil, "80", "81")
		f.events <- struct{}{}
		<-time.After(2 * settle) // of synctest
		want("after an event", 1, 80, 81)
		f.events <- struct{}{}
		<-time.After(2 * settle) // of synctest
		want("after an event without a change", 0, 80, 81)
		f.set(errors.New("restarts"))
		<-time.After(3 * lookAfter) // of synctest
		want("while the runtime is away", 0, 80, 81)
		f.set(nil)
		<-time.After(3 * retryAfter) // of synctest
		want("after all pods are gone", 1)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}
