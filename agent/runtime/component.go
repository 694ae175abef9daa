package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// ComponentName is the word for the container runtime.
	ComponentName = "containerd"

	serveTimeout = 60 * time.Second // from start to the first good answer
	adoptTimeout = 15 * time.Second // an adopted one should answer at once
	probeEvery   = 50 * time.Millisecond
	logCheck     = 10 * time.Minute
	backoffMin   = time.Second
	backoffMax   = 30 * time.Second
	stable       = time.Minute // a run of this length resets the back-off
)

// Containerd keeps containerd serving. It is made by [NewContainerd].
type Containerd struct {
	child
	report func(error)
}

// NewContainerd checks cfg. report takes troubles that do not end the
// component, and nil when they are over; it may be nil.
func NewContainerd(cfg Config, log *slog.Logger, report func(error)) (*Containerd, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(error) {}
	}
	log = log.With("component", ComponentName)
	return &Containerd{child: child{cfg: cfg.WithDefaults(), log: log, proc: hostProc}, report: report}, nil
}

// Component returns the lifecycle component "containerd", ready when its CRI
// answered that the runtime is ready and the pause image is there. The end of
// its context leaves containerd running.
func (c *Containerd) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: ComponentName, Needs: needs, Run: c.run}
}

func (c *Containerd) run(ctx context.Context, ready func()) error {
	delay := backoffMin
	for {
		began := time.Now()
		err := c.once(ctx, ready)
		if ctx.Err() != nil {
			return nil
		}
		c.report(err)
		if time.Since(began) > stable {
			delay = backoffMin
		}
		c.log.Warn("containerd not running, will be started again", "error", err, "in", delay)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay/2 + rand.N(delay/2+1)):
		}
		delay = min(2*delay, backoffMax)
	}
}

// once takes one containerd from ensure to its end. It always returns an error
// unless ctx ended.
func (c *Containerd) once(ctx context.Context, ready func()) error {
	p, isNew, err := c.ensure(ctx)
	if err != nil {
		return err
	}
	defer p.close()

	timeout := adoptTimeout
	if isNew {
		timeout = serveTimeout
	}
	if err := c.awaitServing(ctx, p, timeout); err != nil {
		if ctx.Err() == nil && !errors.Is(err, errGone) {
			// It hangs; the next round starts a fresh one. Its containers
			// stay, they belong to the shims.
			err = errors.Join(err, p.end(ctx, stopGrace))
		}
		return fmt.Errorf("%w (see %s)", err, c.cfg.logFile())
	}
	if err := c.ensurePause(ctx); err != nil {
		return err
	}
	c.report(nil)
	ready()

	logCtx, stop := context.WithCancel(ctx)
	defer stop()
	go c.keepLog(logCtx)
	if err := p.wait(ctx); err != nil {
		return err
	}
	return fmt.Errorf("containerd (pid %d) ended by itself, see %s", p.pid, c.cfg.logFile())
}

// awaitServing probes until the CRI is usable, the process ends or the timeout
// is over.
func (c *Containerd) awaitServing(ctx context.Context, p *process, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if p.wait(ctx) == nil {
			cancel()
		}
	}()
	err := c.probeUntil(ctx)
	cancel()
	<-ended
	if err != nil && !c.alive(p) {
		return errors.Join(errGone, err)
	}
	return err
}

// alive tells whether p still runs; a zombie does not.
func (c *Containerd) alive(p *process) bool {
	st, err := c.proc.stat(p.pid)
	return err == nil && st.State != 'Z' && st.State != 'X'
}

func (c *Containerd) probeUntil(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	last := errNotReady
	for {
		if exists(c.cfg.Layout.ContainerdSocket()) {
			if last = c.probeOnce(ctx); last == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for containerd: %w", last)
		case <-tick.C:
		}
	}
}

func (c *Containerd) probeOnce(ctx context.Context) error {
	client, err := c.cfg.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return probe(ctx, criOf(client))
}

// keepLog bounds the log until ctx ends.
func (c *Containerd) keepLog(ctx context.Context) {
	tick := time.NewTicker(logCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := trimLog(c.cfg.logFile()); err != nil {
				c.log.Warn("containerd log not rotated", "error", err)
			}
		}
	}
}
