package lifecycle

import (
	"context"
	"time"
)

// Pause waits for d between two tries of a component. It returns false, at once,
// when ctx ends.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
