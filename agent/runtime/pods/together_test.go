package pods

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// slow takes its time for each event.
type slow struct {
	takes time.Duration
	seen  int
}

func (s *slow) Synchronize(context.Context, []Sandbox, []Container) { s.seen++ }

func (s *slow) Observe(ctx context.Context, _ Event) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
	}
	s.seen++
}

func TestObserversShareThePatienceOfTheRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &slow{takes: Patience}, &slow{takes: Patience}
		o := Together(a, b)
		began := time.Now()
		o.Observe(t.Context(), Event{Kind: PodStarted})
		if took := time.Since(began); took != Patience {
			t.Errorf("two observers took %s, want %s", took, Patience)
		}
		o.Synchronize(t.Context(), nil, nil)
		if a.seen != 2 || b.seen != 2 {
			t.Errorf("they were told %d and %d times, want 2 each", a.seen, b.seen)
		}
	})
}
