package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/server/certs"
)

// Settling is how long the next authorities must have been trusted before the
// former ones go: parts of Kubernetes, and pods with its client, read authorities
// every five minutes (k8s.io/client-go/transport).
const Settling = 6 * time.Minute

// ownPatience bounds the wait for the server's own node. It renews in the same
// process, in milliseconds, once its part of it runs.
const ownPatience = 30 * time.Second

// Node is what is known of a node and the authorities.
type Node struct {
	Name string `json:"name"`
	// Connected tells that it can be asked now.
	Connected bool `json:"connected"`
	// Trusts are the pins of the server authorities that it trusts, as it said
	// when it renewed last; Issuer is that of the authority of its certificate then.
	Trusts []string `json:"trusts,omitempty"`
	Issuer string   `json:"issuer,omitempty"`
	// Out tells that its machine is revoked. Nobody waits for it.
	Out bool `json:"out,omitempty"`
	// Ready tells that the next step does not harm it.
	Ready bool `json:"ready"`
}

// Keeper does the steps; see [certs.Keeper].
type Keeper interface {
	PrepareCA() (certs.State, error)
	SwitchCA() (certs.State, error)
	FinishCA() (certs.State, error)
	Authorities() (*certs.Authorities, error)
}

// Config says where things are.
type Config struct {
	Keeper Keeper
	// Nodes returns all nodes but the server's own.
	Nodes func(ctx context.Context) ([]Node, error)
	// Renew asks a node to renew, and returns when it has.
	Renew func(ctx context.Context, node string) error
	// RenewOwn renews the certificates of the server's own node; nil without one.
	RenewOwn func(ctx context.Context) error
	// Now is the clock; nil for the machine's.
	Now func() time.Time
	Log *slog.Logger
}

// Rotation leads. It is safe for concurrent use.
type Rotation struct {
	config Config
	kick   chan struct{}
	pace   pace
	// ownLate tells that the server's own node has not renewed after a step.
	ownLate atomic.Bool

	mu sync.Mutex // one step at a time
}

// New returns a rotation. Nothing is started.
func New(config Config) *Rotation {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Rotation{config: config, kick: make(chan struct{}, 1), pace: defaultPace}
}

// Report is how far it is.
type Report struct {
	certs.State
	// Nodes are all but the server's own, by name.
	Nodes []Node `json:"nodes,omitempty"`
	// Settled is when parts that nobody can ask have read the next authorities.
	Settled time.Time `json:"settled,omitzero"`
}

// Waiting names the nodes that are not ready for the next step.
func (r Report) Waiting() []string {
	var names []string
	for _, n := range r.Nodes {
		switch {
		case n.Ready:
		case n.Connected:
			names = append(names, n.Name)
		default:
			names = append(names, n.Name+" (not connected)")
		}
	}
	return names
}

// Report says how far it is and who is ready for what comes next.
func (r *Rotation) Report(ctx context.Context) (Report, error) {
	a, err := r.config.Keeper.Authorities()
	if err != nil {
		return Report{}, err
	}
	report := Report{State: a.State}
	if a.State.Phase != certs.PhaseNone {
		report.Settled = a.State.Began.Add(Settling)
	}
	if report.Nodes, err = r.config.Nodes(ctx); err != nil {
		return report, fmt.Errorf("find out which nodes are ready: %w", err)
	}
	for i := range report.Nodes {
		report.Nodes[i].Ready = ready(a.State, report.Nodes[i])
	}
	slices.SortFunc(report.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return report, nil
}

// ready says whether a node bears the step after the present phase.
func ready(state certs.State, n Node) bool {
	if n.Out {
		return true
	}
	switch state.Phase {
	case certs.PhasePrepared:
		return state.Crossed || slices.Contains(n.Trusts, state.Next)
	case certs.PhaseSwitched:
		return slices.Contains(n.Trusts, state.Next) && n.Issuer == state.NextClient
	}
	return true
}

// ErrNotReady is wrapped by the refusal of a step that would cut somebody off.
var ErrNotReady = errors.New("not everybody is ready")

// The words for the steps.
const (
	Prepare = "prepare"
	Switch  = "switch"
	Finish  = "finish"
)

// Step does the named step, or says what is in its way: an error that wraps
// [ErrNotReady] names who would be cut off, and force does it all the same. Doing
// a step again is no error.
func (r *Rotation) Step(ctx context.Context, name string, force bool) (Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	steps := map[string]func() (certs.State, error){
		Prepare: r.config.Keeper.PrepareCA, Switch: r.config.Keeper.SwitchCA, Finish: r.config.Keeper.FinishCA,
	}
	step, ok := steps[name]
	if !ok {
		return Report{}, fmt.Errorf("%q is no step: give %s, %s or %s", name, Prepare, Switch, Finish)
	}
	if err := r.allowed(ctx, name, force); err != nil {
		return Report{}, err
	}
	state, err := step()
	if err != nil {
		return Report{State: state}, err
	}
	err = r.own(ctx)
	r.ownLate.Store(err != nil)
	r.wake()
	if err != nil {
		return Report{State: state}, fmt.Errorf("the step is done and nothing of it is to be repeated, but the server's own node has not renewed, which is tried on: %w; see why with: kedge status", err)
	}
	report, err := r.Report(ctx)
	if err != nil {
		// The step is done, and that is what was asked for.
		r.config.Log.Warn("nodes are not known", "error", err)
		report.State = state
	}
	return report, nil
}

// own renews the certificates of the server's own node, which is never far away, but
// may be starting, or not get further.
func (r *Rotation) own(ctx context.Context) error {
	if r.config.RenewOwn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ownPatience, fmt.Errorf("it does not answer within %s", ownPatience))
	defer cancel()
	if err := r.config.RenewOwn(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	return nil
}

// allowed says who is in the way of a step.
func (r *Rotation) allowed(ctx context.Context, step string, force bool) error {
	a, err := r.config.Keeper.Authorities()
	if err != nil {
		return err
	}
	before := map[string]certs.Phase{Switch: certs.PhasePrepared, Finish: certs.PhaseSwitched}[step]
	if force || before == certs.PhaseNone || a.State.Phase != before {
		return nil // the keeper knows whether it is in order
	}
	report, err := r.Report(ctx)
	if err != nil {
		return err
	}
	if waiting := report.Waiting(); len(waiting) > 0 {
		return fmt.Errorf("%w: %s would not know the servers any more: wait until they are connected and have renewed, or use --force and join them again", ErrNotReady, strings.Join(waiting, ", "))
	}
	if step == Finish && r.config.Now().Before(report.Settled) {
		return fmt.Errorf("%w: parts of Kubernetes read authorities every five minutes only: wait until %s, or use --force",
			ErrNotReady, report.Settled.UTC().Format(time.RFC3339))
	}
	if step == Finish {
		// It must trust the next authorities before the former ones are gone.
		if err := r.own(ctx); err != nil {
			return fmt.Errorf("%w: the server's own node does not renew (%w): see why with kedge status, or use --force and restart kedge here", ErrNotReady, err)
		}
	}
	return nil
}

func (r *Rotation) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}
