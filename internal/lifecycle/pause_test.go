package lifecycle

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseEndsWithItsTimeOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		if !Pause(ctx, time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("over after %s", time.Since(began))
		}
		time.AfterFunc(time.Second, cancel)
		if Pause(ctx, time.Hour) || time.Since(began) != time.Minute+time.Second {
			t.Errorf("over after %s", time.Since(began))
		}
	})
}
