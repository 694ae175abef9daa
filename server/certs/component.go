package certs

import (
	"context"
	"log/slog"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// ComponentName is the word for this part in logs and health.
const ComponentName = "certs"

// renewInterval is how often certificates are looked at while running. The
// margin is 90 days, so a few missed turns do not matter.
const renewInterval = 12 * time.Hour

// Component returns the part that makes everything before anything runs, and
// renews it while running. Servers and clients read renewed files by
// themselves.
func Component(config Config, log *slog.Logger) lifecycle.Component {
	return lifecycle.Component{
		Name: ComponentName,
		Prepare: func(context.Context) error {
			_, err := Ensure(config, time.Now(), log)
			return err
		},
		Run: func(ctx context.Context, ready func()) error {
			ready()
			ticker := time.NewTicker(renewInterval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
				}
				// The present certificates are good for weeks: trouble here is
				// not a reason to stop a running cluster.
				if _, err := Ensure(config, time.Now(), log); err != nil {
					log.Error("certificates were not renewed", "error", err)
				}
			}
		},
	}
}
