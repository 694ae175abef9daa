package rotation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/server/certs"
)

func TestOwnNodeThatDoesNotAnswerIsNotWaitedForWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		stuck, renewed := true, 0
		f.config.RenewOwn = func(ctx context.Context) error {
			if stuck {
				<-ctx.Done()
				return ctx.Err()
			}
			renewed++
			return nil
		}
		for _, step := range []string{Prepare, Switch} {
			begun := time.Now()
			report, err := f.Step(t.Context(), step, false)
			if err == nil || !strings.Contains(err.Error(), "does not answer within 30s") || !strings.Contains(err.Error(), "kedge status") {
				t.Fatal(step, err)
			}
			if report.Phase == certs.PhaseNone || time.Since(begun) != ownPatience {
				t.Error(step, report.Phase, time.Since(begun))
			}
		}
		f.run(t, 5*time.Minute)
		f.pass(Settling)
		if _, err := f.Step(t.Context(), Finish, false); !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "own node") {
			t.Fatal("finish would have cut off the server's own node:", err)
		}
		stuck = false
		f.run(t, time.Minute)
		if renewed != 1 {
			t.Errorf("renewed %d times once it could", renewed)
		}
		f.must(t, Finish)
	})
}

func TestNobodyWaitsForARevokedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.nodes["edge-2"].out = true
		f.set("edge-2", false)
		f.must(t, Prepare)
		f.must(t, Switch)
		f.run(t, time.Minute)
		f.pass(Settling)
		f.must(t, Finish)
	})
}
