package firewall

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/kedge-io/kedge/edgefw/distribute"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/server/firewall/metrics"
	"github.com/kedge-io/kedge/server/firewall/sources"
)

// Firewall is the handle of the component. Its methods may be called from any
// goroutine, also before it runs.
type Firewall struct {
	cfg     Config
	log     *slog.Logger
	quiet   *quiet.Log
	places  *places
	gate    gate
	dist    *distribute.Distributor
	metrics *metrics.Collector
	caches  caches
	ctx     context.Context // of run; for informers that start late
	taken   plan.Input      // the latest input, for the goroutine that compiles
	// annotations are nodes whose annotation is to be compared.
	annotations workqueue.TypedRateLimitingInterface[string]
	api         api
	readings    readings
	proofs      proofs
	statuses    *statuses

	running atomic.Bool
	// keptOut counts refused requests, writes those of statuses.
	keptOut, writes atomic.Uint64
	// problem is why nothing newer is compiled; nil for none.
	problem atomic.Pointer[string]
	// compiled is what counts now; nil before the first time.
	compiled atomic.Pointer[compiled]

	mu    sync.Mutex
	local func(ctx context.Context, conn net.Conn)
	facts func() model.Facts
}

// compiled is one result with its revision.
type compiled struct {
	plan.Compiled
	revision uint64
	input    plan.Input
}

// New returns the component's handle. Nothing runs.
func New(cfg Config, log *slog.Logger) *Firewall {
	cfg = cfg.withDefaults()
	f := &Firewall{
		cfg: cfg, log: log.With("component", Name), quiet: quiet.New(cfg.Now),
		places:      newPlaces(cfg.Links, cfg.Now),
		annotations: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	if cfg.Sets == nil {
		lists := sources.New(sources.Config{Client: cfg.Client, Dir: cfg.Lists, Changed: f.Kick, UserAgent: cfg.UserAgent, Proxy: cfg.Proxy}, f.log)
		f.cfg.Sets, f.cfg.Feeds = lists.Sets, append(slices.Clone(cfg.Feeds), lists)
	}
	f.metrics = metrics.New(f.figures)
	f.statuses = newStatuses(f)
	f.dist = distribute.New(distribute.Config{
		Dial: f.dial, Compiled: f.take, Changed: f.statuses.kick, Log: f.log,
	})
	return f
}

// ServeLocal says how the server's own node takes rules, which needs no link, and
// what is implied there. It is called before the component runs.
func (f *Firewall) ServeLocal(serve func(ctx context.Context, conn net.Conn), facts func() model.Facts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.local, f.facts = serve, facts
}

// UseNames says what the DNS names of rules are on the server's own node, for the
// gate. It is called before the component runs.
func (f *Firewall) UseNames(names func() map[string][]netip.Addr) { f.gate.names = names }

// Restore gives the gate the rules that the server's own node had before it
// stopped, until there are newer ones.
func (f *Firewall) Restore(rs *model.Ruleset) { f.gate.set(rs, f.ownFacts()) }

// Kick says that something has changed that rules are made of.
func (f *Firewall) Kick() {
	if f.running.Load() {
		f.dist.Kick()
	}
}

// Up says that a node has a new link. It does not block.
func (f *Firewall) Up(node string) {
	if f.places.look(node) {
		f.Kick()
	}
	f.compare(node)
	if f.running.Load() {
		f.dist.Connected(node)
	}
}

// Down says that a node has lost its link. It does not block.
func (f *Firewall) Down(node string) {
	f.places.look(node)
	if f.running.Load() {
		f.dist.Gone(node)
	}
}

// Replaced says that another machine is to take a node's name: where the former
// one came from counts no more.
func (f *Firewall) Replaced(node string) {
	if f.places.replaced(node) {
		f.Kick()
		f.compare(node)
	}
}

// Admit counts an address as that of a node that has proven its right to join,
// and returns when the connected nodes know it, after two seconds at the latest.
func (f *Firewall) Admit(ctx context.Context, node string, addr netip.Addr) {
	addr = addr.Unmap().WithZone("")
	if !routable(addr) {
		return
	}
	f.places.admit(node, addr, f.cfg.Now())
	if !f.running.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	began := f.cfg.Now()
	defer func() { f.metrics.Joined(f.cfg.Now().Sub(began).Seconds()) }()
	revision, err := f.dist.Sync(ctx)
	if err == nil {
		err = f.dist.Await(ctx, nil, revision)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		f.log.Warn("a node joins whose address not all others have acknowledged", "node", node, "address", addr, "waited", joinPatience, "error", err)
	}
}

// source is where the distributor gets its input from.
func (f *Firewall) source() (plan.Input, error) {
	in, err := f.input()
	if err != nil {
		problem := err.Error()
		f.problem.Store(&problem)
		return in, err
	}
	f.taken = in
	f.problem.Store(nil)
	return in, nil
}

// Recall counts an address as that of a node that joined at a time, before this
// server started, unless that is long ago.
func (f *Firewall) Recall(node string, addr netip.Addr, at time.Time) {
	if routable(addr) {
		f.places.admit(node, addr, at)
		f.Kick()
	}
}

// take is told each new result.
func (f *Firewall) take(c plan.Compiled, revision uint64) {
	f.compiled.Store(&compiled{Compiled: c, revision: revision, input: f.taken})
	if f.cfg.OwnNode != "" {
		f.gate.set(c.Rulesets[f.cfg.OwnNode], f.ownFacts())
	}
	f.statuses.kick()
}

// ownFacts are what is implied on the server's own node.
func (f *Firewall) ownFacts() model.Facts {
	f.mu.Lock()
	facts := f.facts
	f.mu.Unlock()
	if facts == nil {
		return model.Facts{}
	}
	return facts()
}

// dial opens the stream to a node: that of the server's own is a pipe.
func (f *Firewall) dial(ctx context.Context, node string) (net.Conn, error) {
	if node != f.cfg.OwnNode {
		return f.cfg.Dial(ctx, node)
	}
	f.mu.Lock()
	serve := f.local
	f.mu.Unlock()
	if serve == nil {
		return nil, errNoLocal
	}
	ours, theirs := net.Pipe()
	f.caches.running.Go(func() {
		defer theirs.Close()
		serve(f.ctx, theirs)
	})
	return ours, nil
}
