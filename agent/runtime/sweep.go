package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/slots"
)

// sweepEvery is how long a slot may stay that nobody uses: at most 200 MB for an
// hour. More often would take away what somebody tries out beside the daemon.
const sweepEvery = time.Hour

// sweepSoon is when, after its start, a daemon has replaced the containerd that
// it found, on slow machines too: what that one ran from is free then.
const sweepSoon = 2 * time.Minute

// KeepSlotsSwept calls [SweepSlots] now, soon, and every hour until ctx ends: at
// the start after an upgrade the former containerd still runs, and shims run for
// weeks.
func KeepSlotsSwept(ctx context.Context, layout paths.Layout, log *slog.Logger) {
	keepSwept(ctx, log, func() error {
		removed, err := SweepSlots(ctx, layout)
		for _, slot := range removed {
			log.Info("programs of a former version removed", "slot", slot)
		}
		return err
	})
}

// keepSwept logs a failure once, until it is another one.
func keepSwept(ctx context.Context, log *slog.Logger, sweep func() error) {
	last, pause := "", sweepSoon
	for ctx.Err() == nil {
		text := ""
		if err := sweep(); err != nil && ctx.Err() == nil {
			text = err.Error()
		}
		if text != "" && text != last {
			log.Warn("programs of former versions stay", "error", text) // they cost disk and nothing else
		}
		last = text
		lifecycle.Pause(ctx, pause)
		pause = sweepEvery
	}
}

// SweepSlots removes the slots of former runtime bundles, and of the programs
// of former release files, from which no program runs any more. The shims of
// containers that outlived an upgrade keep theirs until they end.
func SweepSlots(ctx context.Context, layout paths.Layout) ([]string, error) {
	programs, err := slots.Running(string(hostProc))
	if err != nil {
		return nil, fmt.Errorf("look for programs of former runtime bundles: %w", err)
	}
	return bundle.Sweep(ctx, layout.Data(), programs.In)
}
