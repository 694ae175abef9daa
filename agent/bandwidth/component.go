package bandwidth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/herald"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name is the component's name.
const Name = "bandwidth"

// startPatience is how long the component is starting while the runtime says
// nothing; after that it is ready and degraded, so that the rest of the node
// does not wait for it.
const startPatience = 15 * time.Second

// Bandwidth keeps the bandwidth of this node's pods as the cluster wants it.
type Bandwidth struct {
	cfg    Config
	parts  Parts
	log    *slog.Logger
	report func(error)
	dial   func() (clients, error)
	listen func(changed func()) (stop func(), err error)

	delays delays
	wake   chan struct{}
	drift  drift
	now    atomic.Pointer[applied]
	// lost is what is not known of pods that run; nil for nothing.
	lost atomic.Pointer[error]

	// The rest is the loop's own.
	watch      *watch
	herald     *herald.Herald
	last       wishes
	saving     saving
	assignment plan.Assignment
	told       told
	patience   patience
	counted    counted
}

// applied is what the latest pass came to. It is not changed later.
type applied struct {
	composed
	plan       plan.Plan
	assignment plan.Assignment
	refusals   []plan.Refusal
	gone       []int
	// err is why the kernel is not as planned, nil where it is.
	err     error
	verdict verdict
}

// New makes the component. Report, which may be nil, is told of every trouble
// that does not end it, and nil when it is over.
func New(cfg Config, parts Parts, log *slog.Logger, report func(error)) (*Bandwidth, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(error) {}
	}
	b := &Bandwidth{cfg: cfg, parts: parts, log: log.With("component", Name), report: report, wake: make(chan struct{}, 1)}
	b.dial = func() (clients, error) { return connect(cfg.Kubeconfig, cfg.NodeName) }
	b.listen = watchKernel
	b.saving = saving{file: cfg.StateFile, log: b.log, wake: b.wake}
	b.drift.log, b.drift.wake = b.log, b.wake
	b.told = told{}
	return b, nil
}

// Component returns the lifecycle. It is ready when the first plan was applied
// and read back, or when it is known that it cannot be; it does not wait for the
// API.
func (b *Bandwidth) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: b.Run}
}

// Run shapes until ctx ends, and leaves the kernel as it is then.
func (b *Bandwidth) Run(ctx context.Context, ready func()) error {
	api, err := b.dial()
	if err != nil {
		return err
	}
	if b.watch, err = newWatch(api, b.log, b.wished); err != nil {
		return err
	}
	b.load()
	stop, err := b.listen(b.drift.event)
	if err != nil {
		return err
	}
	defer stop()
	defer b.drift.stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.herald = herald.New(b.cfg.NodeName, Condition, api.kube, b.log)
	defer b.herald.Start(ctx)()
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { b.watch.run(ctx) })
	for _, run := range append([]func(context.Context) error{b.parts.Reporter.Run}, b.parts.Beside...) {
		others.Go(func() { b.beside(ctx, run) })
	}
	for _, c := range b.parts.Changed {
		others.Go(func() { b.forward(ctx, c) })
	}
	defer cancel() // before the waits above
	defer b.saving.flush()
	started := time.Now()
	return loop(ctx, b.wake, func(ctx context.Context) error {
		err := b.pass(ctx)
		switch {
		case ctx.Err() != nil:
		case !errors.Is(err, errUnheard):
			ready()
		case time.Since(started) > startPatience:
			ready()
			b.report(err)
		}
		return err
	})
}

// load reads what the node knew when it last ran.
func (b *Bandwidth) load() {
	var err error
	if b.last, err = loadWishes(b.cfg.StateFile); err != nil {
		b.log.Warn("last known wishes are lost, pods have those that they were started with until a server answers", "error", err)
	}
	if b.assignment, err = loadAssignment(b.cfg.ClassesFile); err != nil {
		b.log.Warn("numbers of classes are lost, classes are made anew", "error", err)
	}
}

// Lost is told of what cannot be found out about pods that run, and nil when all
// can. It may be called at any time.
func (b *Bandwidth) Lost(err error) {
	before := b.lostNow()
	b.lost.Store(&err)
	if before != nil || err != nil {
		notify(b.wake)
	}
}

// lostNow is what Lost was told last.
func (b *Bandwidth) lostNow() error {
	if err := b.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// wished is told by the watch.
func (b *Bandwidth) wished(late bool) {
	if late {
		b.delays.seen()
	}
	notify(b.wake)
}

// beside keeps one of the parts running until ctx ends.
func (b *Bandwidth) beside(ctx context.Context, run func(context.Context) error) {
	for {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		b.log.Warn("a part of bandwidth ended, started again", "error", err)
		if !lifecycle.Pause(ctx, lookAfter) {
			return
		}
	}
}

// forward passes notes on until ctx ends.
func (b *Bandwidth) forward(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			notify(b.wake)
		}
	}
}

// errUnheard says that nothing is known of what runs: then nothing is applied,
// as it would take away the shaping of running pods.
var errUnheard = errors.New("the container runtime has not said what runs on this node, so its bandwidth is as it was")
