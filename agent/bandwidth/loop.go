package bandwidth

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// lookAfter is how often the kernel is compared with the plan although
	// nobody said that anything has changed.
	lookAfter = 30 * time.Second
	// gather is how long changes are gathered that follow a pass. One that
	// comes alone does not wait.
	gather = 20 * time.Millisecond
	// retryMin is the first pause after an error, which doubles up to lookAfter.
	retryMin = time.Second
)

// loop makes a pass at once, after each note in wake, every lookAfter, and
// sooner after an error, until ctx ends.
func loop(ctx context.Context, wake <-chan struct{}, pass func(ctx context.Context) error) error {
	retry := retryMin
	for {
		err := pass(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ended, wait := time.Now(), lookAfter
		if err != nil {
			wait = retry/2 + rand.N(retry)
			retry = min(2*retry, lookAfter)
		} else {
			retry = retryMin
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
		if !lifecycle.Pause(ctx, gather-time.Since(ended)) {
			return ctx.Err()
		}
	}
}

// notify leaves a note in a channel of capacity one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
