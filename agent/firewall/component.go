package firewall

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/agent/firewall/metrics"
	"github.com/kedge-io/kedge/agent/herald"
	"github.com/kedge-io/kedge/edgefw"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/store"
	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Firewall enforces the cluster's firewall on this node.
type Firewall struct {
	cfg     Config
	log     *slog.Logger
	report  func(error)
	machine *machine
	facts   *facts
	loop    *edgefw.Loop
	last    *model.Ruleset

	mu     sync.Mutex
	herald *herald.Herald // nil before Run
	said   []edgefw.Notice
}

// New makes the component. Nothing is changed. Report, which may be nil, is told
// of every trouble that does not end it, and nil when it is over.
func New(cfg Config, log *slog.Logger, report func(error)) (*Firewall, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(error) {}
	}
	log = log.With("component", Name)
	f := &Firewall{cfg: cfg, log: log, report: report, machine: &machine{log: log}}
	var known model.Facts
	if s, err := store.Read(File(cfg.Layout)); err == nil {
		known, f.last = s.Facts, s.Ruleset
	}
	f.facts = newFacts(cfg, "/", known, func() { f.loop.Wake() })
	var err error
	f.loop, err = edgefw.New(edgefw.Config{
		Kernel: f.machine, Prove: cfg.Prove, Facts: f.facts.Now, Addresses: addresses, Lookup: cfg.Way.Lookup,
		File: File(cfg.Layout), PodsFile: podsFile(cfg.Layout), Software: cfg.Software,
		Tell: f.tell, Report: f.trouble,
	}, log)
	return f, err
}

// Component returns the lifecycle. It is ready when what was proven last is in
// force, or when it is known that it cannot be; it waits for nobody.
func (f *Firewall) Component() lifecycle.Component {
	return lifecycle.Component{Name: Name, Run: f.Run}
}

// Run enforces until ctx ends, and leaves the rules as they are then.
func (f *Firewall) Run(ctx context.Context, ready func()) error {
	config, err := kubeclient.FromFile(f.cfg.Kubeconfig, "kedge-"+Name)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client of the firewall: %w", err)
	}
	figures := metrics.New(func() (view.Node, []view.Counter, error) {
		counters, err := f.loop.Counters()
		return f.loop.Snapshot(), counters, err
	})
	if err := legacyregistry.Registerer().Register(figures); err != nil {
		return fmt.Errorf("register the metrics of the firewall: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer f.machine.Close()
	defer others.Wait()
	defer cancel()
	defer f.proclaim(ctx, client)()
	defer cancel() // before the wait for the herald
	others.Go(func() { f.facts.run(ctx) })
	return f.loop.Run(ctx, ready)
}

// Serve takes rulesets from a server's stream until it ends or ctx does.
func (f *Firewall) Serve(ctx context.Context, conn net.Conn) { f.loop.Serve(ctx, conn) }

// Facts are what no rule takes from the node now.
func (f *Firewall) Facts() model.Facts { return f.facts.Now() }

// Names are the addresses that DNS names of the rules in force have. The map must
// not be changed.
func (f *Firewall) Names() map[string][]netip.Addr { return f.loop.Names() }

// Restored is what was on disk when the component was made; nil for nothing.
func (f *Firewall) Restored() *model.Ruleset { return f.last }
