package testx

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPollReturnsWhenTheProbeSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		err := Poll(t.Context(), func(context.Context) error {
			if n++; n < 4 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || n != 4 {
			t.Fatalf("got %v after %d probes, want nil after 4", err, n)
		}
	})
}

func TestPollReturnsTheLastErrorWhenTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		last := errors.New("still broken")
		err := Poll(ctx, func(context.Context) error { return last })
		if !errors.Is(err, last) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want both %v and the deadline", err, last)
		}
	})
}
