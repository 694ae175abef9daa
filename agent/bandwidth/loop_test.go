package bandwidth

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// passes counts the passes of a loop in fake time.
type passes struct {
	start time.Time
	mu    sync.Mutex
	all   []time.Duration
	err   error
}

// at is when they were.
func (p *passes) at() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// fail lets them fail from now on, or not any more.
func (p *passes) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *passes) pass(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, time.Since(p.start))
	return p.err
}

// inLoop runs f beside a loop.
func inLoop(t *testing.T, f func(p *passes, wake chan struct{})) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p, wake := &passes{start: time.Now()}, make(chan struct{}, 1)
		done := make(chan error)
		go func() { done <- loop(ctx, wake, p.pass) }()
		synctest.Wait()
		f(p, wake)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	})
}

func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestASingleChangeDoesNotWait(t *testing.T) {
	inLoop(t, func(p *passes, wake chan struct{}) {
		after(time.Second)
		notify(wake)
		synctest.Wait()
		if len(p.at()) != 2 || p.at()[1] != time.Second {
			t.Errorf("passes at %v, want a second one after 1s", p.at())
		}
	})
}

func TestChangesInARowAreGathered(t *testing.T) {
	inLoop(t, func(p *passes, wake chan struct{}) {
		after(time.Second)
		for range 100 {
			notify(wake)
			after(time.Millisecond)
		}
		after(gather)
		if n := len(p.at()) - 1; n < 2 || n > 8 {
			t.Errorf("100 changes in 100 ms made %d passes, want about one in %s", n, gather)
		}
		for i := 2; i < len(p.at()); i++ {
			if gap := p.at()[i] - p.at()[i-1]; gap > gather+time.Millisecond {
				t.Errorf("a change waited %s", gap)
			}
		}
	})
}

func TestTheKernelIsLookedAtWithoutAnyChange(t *testing.T) {
	inLoop(t, func(p *passes, _ chan struct{}) {
		after(2*lookAfter + time.Second)
		if len(p.at()) != 3 {
			t.Errorf("passes at %v, want one every %s", p.at(), lookAfter)
		}
	})
}

func TestAnErrorIsTriedAgainSoonAndThenMoreSeldom(t *testing.T) {
	inLoop(t, func(p *passes, _ chan struct{}) {
		p.fail(errors.New("no such device"))
		after(lookAfter + 2*retryMin)
		tries := len(p.at())
		if tries < 2 {
			t.Fatalf("passes at %v", p.at())
		}
		after(10 * time.Minute)
		if n := len(p.at()); n < 20 || n > 60 {
			t.Errorf("%d tries in ten minutes", n)
		}
		p.fail(nil)
		after(2 * lookAfter)
		before := len(p.at())
		after(2*lookAfter + time.Second)
		if n := len(p.at()) - before; n < 2 || n > 3 {
			t.Errorf("%d passes in a minute after the error was over, want 2 or 3", n)
		}
	})
}
