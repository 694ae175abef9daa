package distribute

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/plan"
)

// DefaultInterval is the shortest time between the beginnings of two
// compilations.
const DefaultInterval = 100 * time.Millisecond

const (
	// inFlight is how many updates a node may have that it has not acknowledged:
	// one that it applies, and the next on its way.
	inFlight = 2
	// helloTime bounds the wait for a node's Hello.
	helloTime = 15 * time.Second
	// ackTime is after how long without an acknowledgement the stream is made
	// anew: a node answers as soon as its kernel did.
	ackTime = time.Minute
	// progressTime is how long writing writeChunk bytes may take.
	progressTime = 30 * time.Second
	writeChunk   = 16 << 10
	// slowest is the slowest line in bytes per second, about 4 kbit/s, and buffered
	// what a stream may hold between the ends, in bytes.
	slowest  = 512
	buffered = 256 << 10
	// retryCompile is when a compilation is tried again whose input could not be
	// had.
	retryCompile = time.Second
)

// ErrUnsupported is wrapped by what [Config.Dial] returns for a node that does
// not know the edge firewall. It is not dialled again until it connects anew.
var ErrUnsupported = errors.New("the node does not enforce the edge firewall")

// Config is what a distributor needs to know.
type Config struct {
	// Dial opens the stream of a connected node.
	Dial func(ctx context.Context, node string) (net.Conn, error)
	Log  *slog.Logger
	// Compile computes the rulesets; nil means a plan.Compiler. It is called by
	// one goroutine. It must give the same pointers for what did not change, and
	// nobody changes what it gave.
	Compile func(plan.Input) plan.Compiled
	// Compiled, where set, is told of each compilation and the highest revision
	// after it. It must not block.
	Compiled func(c plan.Compiled, revision uint64)
	// Changed, where set, is told that the state of a node changed. It must not
	// block.
	Changed func()
	// Interval is the shortest time between two compilations; 0 means
	// DefaultInterval.
	Interval time.Duration

	// Shorter in tests.
	helloTime, ackTime, progressTime, retry time.Duration
}

// Distributor takes all connected nodes to their rulesets. Its methods may be
// called at any time from any goroutine, Run once.
type Distributor struct {
	cfg     Config
	log     *slog.Logger
	kick    chan struct{}
	library *library
	wg      sync.WaitGroup

	mu       sync.Mutex
	ctx      context.Context // of Run; nil before it
	over     bool
	nodes    map[string]*node
	revision uint64
	kicked   time.Time // of the first change that is not compiled; zero for none
	asked    uint64    // counts calls of Sync
	done     uint64    // those that were served
	changed  chan struct{}
	figures  Figures
}

// node is what is known of one node. Guarded by Distributor.mu.
type node struct {
	name    string
	session *session // nil while not connected
	target  *target  // nil while no ruleset names the node
	wanted  uint64   // the revision of target
	since   time.Time
	acked   uint64 // the newest revision that was acknowledged, well or not
	state   NodeState
}

// New returns a distributor that takes connections and changes at once and
// serves them when it runs.
func New(cfg Config) *Distributor {
	if cfg.Compile == nil {
		cfg.Compile = new(plan.Compiler).Compile
	}
	if cfg.Compiled == nil {
		cfg.Compiled = func(plan.Compiled, uint64) {}
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	for _, d := range []struct {
		to *time.Duration
		by time.Duration
	}{
		{&cfg.Interval, DefaultInterval}, {&cfg.helloTime, helloTime}, {&cfg.ackTime, ackTime},
		{&cfg.progressTime, progressTime}, {&cfg.retry, retryCompile},
	} {
		if *d.to == 0 {
			*d.to = d.by
		}
	}
	return &Distributor{
		cfg: cfg, log: cfg.Log, kick: make(chan struct{}, 1), library: newLibrary(),
		nodes: map[string]*node{}, changed: make(chan struct{}),
	}
}

// Above says that revisions up to this one were given before, for instance as
// statuses of the API tell.
func (d *Distributor) Above(revision uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revision = max(d.revision, revision)
}

// Kick says that the input of the compilation changed. It never blocks.
func (d *Distributor) Kick() {
	d.mu.Lock()
	if d.kicked.IsZero() {
		d.kicked = time.Now()
	}
	d.mu.Unlock()
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Connected says that a node has a link, also that it has a newer one. It never
// blocks.
func (d *Distributor) Connected(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	n := d.nodeLocked(name)
	if n.session != nil {
		n.session.cancel()
	}
	n.session = d.newSession(n)
	if n.state.State == StateUnsupported {
		d.enterLocked(n, StatePending, "")
	}
	if d.ctx != nil {
		d.startLocked(n.session)
	}
}

// Gone says that a node has no link any more. It never blocks.
func (d *Distributor) Gone(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[name]
	if n == nil || n.session == nil {
		return
	}
	n.session.cancel()
	n.session = nil
	d.forgetLocked(n)
	d.announceLocked()
}

// forgetLocked drops what nobody needs.
func (d *Distributor) forgetLocked(n *node) {
	if n.session == nil && n.target == nil {
		delete(d.nodes, n.name)
	}
}

func (d *Distributor) nodeLocked(name string) *node {
	n := d.nodes[name]
	if n == nil {
		n = &node{name: name, state: NodeState{Node: name, State: StatePending, Since: time.Now()}}
		d.nodes[name] = n
	}
	return n
}

// Run compiles and distributes until ctx ends. All that it started has ended
// when it returns.
func (d *Distributor) Run(ctx context.Context, source func() (plan.Input, error)) {
	ctx, cancel := context.WithCancel(ctx)
	defer d.wg.Wait()
	defer d.stop()
	defer cancel()
	d.mu.Lock()
	d.ctx = ctx
	for _, n := range d.nodes {
		if n.session != nil {
			d.startLocked(n.session)
		}
	}
	d.mu.Unlock()
	d.compileAll(ctx, source)
}

func (d *Distributor) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	for _, n := range d.nodes {
		if n.session != nil {
			n.session.cancel()
		}
	}
}
