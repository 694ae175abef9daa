package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// HooksName is the word for the component that hears of pods from containerd.
const HooksName = "runtime-hooks"

const (
	hooksBackoffMin = 100 * time.Millisecond
	// hooksBackoffMax is for connections that do not last, hooksDialMax for a
	// socket where nobody answers: a containerd that starts should find us before
	// kubelet finds it, because it lets running calls end before it takes in a
	// plugin, and new calls wait meanwhile. A graceful stop of a pod can be a
	// long one.
	hooksBackoffMax = 5 * time.Second
	hooksDialMax    = 500 * time.Millisecond
	// hooksPatience is after how long the node goes on without hooks, for
	// instance where a drop-in of containerd's configuration has switched them
	// off: pods run, nothing knows of them here.
	hooksPatience = 30 * time.Second
)

var errHooksGone = errors.New("containerd closed the connection")

// Hooks tells an observer about pods and containers. It is a plugin of
// containerd's node resource interface (NRI), connected by a socket in the run
// directory: it connects again when either side was started anew.
type Hooks struct {
	cfg       Config
	observer  pods.Observer
	log       *slog.Logger
	report    func(error)
	processes bool

	mu     sync.Mutex // one call of the observer at a time
	synced chan struct{}
	once   sync.Once
}

// NewHooks returns hooks that are not connected. report is told when
// containerd does not answer, and nil when it does.
func NewHooks(cfg Config, observer pods.Observer, log *slog.Logger, report func(error)) *Hooks {
	return &Hooks{
		cfg: cfg.WithDefaults(), observer: observer, log: log.With("component", HooksName), report: report,
		synced: make(chan struct{}),
	}
}

// FollowProcesses asks for [pods.ProcessAdded] as well. It is called before the
// component runs.
func (h *Hooks) FollowProcesses() { h.processes = true }

// Component keeps the connection. It is ready when the observer has the whole
// state, so that what needs it (kubelet) starts no pod before, and after half a
// minute in any case.
func (h *Hooks) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: HooksName, Needs: needs, Run: h.run}
}

func (h *Hooks) run(ctx context.Context, ready func()) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if h.processes {
		wg.Go(func() { h.followProcesses(ctx) })
	}
	wg.Go(func() { h.stayConnected(ctx) })
	late := time.NewTimer(hooksPatience)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-h.synced:
	case <-late.C:
		h.log.Warn("the node goes on without hooks of containerd", "socket", h.cfg.nriSocket())
	}
	ready()
	<-ctx.Done()
	return ctx.Err()
}

// stayConnected connects again and again until ctx ends.
func (h *Hooks) stayConnected(ctx context.Context) {
	delay := hooksBackoffMin
	for ctx.Err() == nil {
		limit := hooksDialMax
		conn, err := h.dial(ctx)
		if err == nil {
			limit = hooksBackoffMax
			began := time.Now()
			err = h.serve(ctx, conn)
			if time.Since(began) > stable {
				delay = hooksBackoffMin
			}
		}
		if ctx.Err() != nil {
			return
		}
		h.report(fmt.Errorf("hooks of containerd at %s: %w", h.cfg.nriSocket(), err))
		delay = min(delay, limit)
		if !lifecycle.Pause(ctx, delay/2+rand.N(delay/2+1)) {
			return
		}
		delay *= 2
	}
}

func (h *Hooks) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", h.cfg.nriSocket())
}

// serve takes one connection from its start to its end.
func (h *Hooks) serve(ctx context.Context, conn net.Conn) error {
	var told atomic.Bool // by a goroutine that may outlive the connection for a moment
	p := &plugin{tell: h.tell, all: func(ctx context.Context, sandboxes []pods.Sandbox, containers []pods.Container) {
		h.synchronize(ctx, sandboxes, containers)
		told.Store(true)
	}}
	err := p.serve(ctx, conn)
	if told.Load() && ctx.Err() == nil {
		h.log.Warn("hooks of containerd lost, connecting again", "error", err)
	}
	return err
}

func (h *Hooks) tell(ctx context.Context, e pods.Event) {
	ctx, cancel := context.WithTimeout(ctx, pods.Patience)
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.observer.Observe(ctx, e)
}

func (h *Hooks) synchronize(ctx context.Context, sandboxes []pods.Sandbox, containers []pods.Container) {
	ctx, cancel := context.WithTimeout(ctx, pods.Patience)
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.observer.Synchronize(ctx, sandboxes, containers)
	h.report(nil)
	h.log.Info("connected to the hooks of containerd", "pods", len(sandboxes), "containers", len(containers))
	h.once.Do(func() { close(h.synced) })
}
