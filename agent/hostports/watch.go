package hostports

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name is the component's name.
const Name = "host-ports"

const (
	// lookAfter is how often the runtime is asked although it said nothing,
	// with a jitter of as much again.
	lookAfter = time.Minute
	// retryAfter is the pause after an error, with a jitter of as much again.
	retryAfter = 2 * time.Second
	// settle gathers the events of a pod that starts.
	settle = 100 * time.Millisecond
)

// Runtime is the container runtime.
type Runtime interface {
	// HostContainers returns the annotations of every container that was
	// created or runs in a pod that has the network of the host.
	HostContainers(ctx context.Context) ([]map[string]string, error)
	// Watch calls changed after containers may have started or ended, until
	// ctx ends or the runtime is gone.
	Watch(ctx context.Context, changed func()) error
}

// Watcher keeps the declared ports. Its methods may be called at any time from
// any goroutine.
type Watcher struct {
	runtime Runtime
	log     *slog.Logger
	report  func(error)

	mu          sync.RWMutex
	ports       []Port
	tcp         map[uint16]bool
	subscribers []chan struct{}
}

// New returns a watcher that knows no ports yet. Report is told when the
// runtime does not answer, and nil when it does.
func New(runtime Runtime, log *slog.Logger, report func(error)) *Watcher {
	return &Watcher{runtime: runtime, log: log.With("component", Name), report: report}
}

// Ports returns all declared ports, sorted. The slice is not changed later.
func (w *Watcher) Ports() []Port {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.ports
}

// TCP returns the declared TCP ports. The map is not changed later.
func (w *Watcher) TCP() map[uint16]bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.tcp
}

// Subscribe returns a channel that receives something after each change. It
// holds one note; subscribe before the component runs.
func (w *Watcher) Subscribe() <-chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers = append(w.subscribers, c)
	return c
}

// Component follows the runtime. It is ready after the runtime's first answer.
func (w *Watcher) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: w.Run}
}

// Run follows the runtime until ctx ends. While the runtime is away the last
// known ports stay: the pods do as well.
func (w *Watcher) Run(ctx context.Context, ready func()) error {
	wake := make(chan struct{}, 1)
	go w.follow(ctx, wake)
	isReady := false
	for {
		containers, err := w.runtime.HostContainers(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.report(err)
		wait := jitter(retryAfter)
		if err == nil {
			w.set(Declared(containers))
			wait = jitter(lookAfter)
			if !isReady {
				isReady = true
				ready()
			}
		}
		if !pause(ctx, wait, wake) || !pause(ctx, settle, nil) {
			return ctx.Err()
		}
	}
}

// follow keeps a subscription to the runtime's events.
func (w *Watcher) follow(ctx context.Context, wake chan struct{}) {
	for {
		if err := w.runtime.Watch(ctx, func() { notify(wake) }); err != nil && ctx.Err() == nil {
			w.log.Debug("events of the runtime ended, subscribing again", "error", err)
		}
		if !pause(ctx, jitter(retryAfter), nil) {
			return
		}
		notify(wake) // what happened in between was not told
	}
}

func (w *Watcher) set(ports []Port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tcp != nil && slices.Equal(w.ports, ports) {
		return
	}
	tcp := map[uint16]bool{}
	for _, p := range ports {
		if p.Protocol == TCP {
			tcp[p.Number] = true
		}
	}
	if len(w.ports) > 0 || len(ports) > 0 {
		w.log.Info("ports of pods in the host's network", "ports", ports)
	}
	w.ports, w.tcp = ports, tcp
	for _, c := range w.subscribers {
		notify(c)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func jitter(d time.Duration) time.Duration { return d + rand.N(d) }

// pause returns false when ctx ended, true after d or a wake.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return true
}
