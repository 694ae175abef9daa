package certs

import (
	"context"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/pki"
)

// ComponentName is the word for this part in logs and health.
const ComponentName = "certs"

// retryInterval bounds the pause after a renewal that failed: it may be a full disk,
// and the present certificates may have weeks or a minute.
const retryInterval = time.Minute

// Component returns the part that makes everything before anything runs, and
// renews it while running. Servers and clients read renewed files by
// themselves.
func (k *Keeper) Component() lifecycle.Component {
	return lifecycle.Component{
		Name:    ComponentName,
		Prepare: func(context.Context) error { return k.Ensure() },
		Run: func(ctx context.Context, ready func()) error {
			ready()
			k.keep(ctx)
			return nil
		},
	}
}

func (k *Keeper) keep(ctx context.Context) {
	every := pki.CheckEvery(k.lifetime())
	wait, failing := every, false
	for k.pause(ctx, wait) {
		// The present certificates are good for a while: trouble here is not a
		// reason to stop a running cluster.
		err := k.Ensure()
		if err != nil && !failing {
			k.log.Error("certificates not renewed, trying again", "error", err)
		}
		if err == nil && failing {
			k.log.Info("certificates renewed again")
		}
		failing, wait = err != nil, every
		if failing {
			wait = min(every, retryInterval)
		}
		if err == nil {
			err = k.ending()
		}
		k.report(err)
	}
}

// pause waits for so long, or until something was begun and could not be ended. It
// returns false when ctx has ended.
func (k *Keeper) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-k.unfinished:
		return lifecycle.Pause(ctx, min(wait, time.Second))
	case <-timer.C:
		return true
	}
}
