package firewall

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/agent/firewall/hostfacts"
	"github.com/kedge-io/kedge/edgefw/model"
)

const (
	// factsEvery is how often the host's files are read.
	factsEvery = 10 * time.Second
	// clockEvery is how often names of time servers are looked up.
	clockEvery = 5 * time.Minute
	// keepResolver is for how long a resolver counts that is configured no more:
	// programs read the file at their start.
	keepResolver = 10 * time.Minute
)

// facts knows what no rule may take from this node.
type facts struct {
	cfg     Config
	root    string
	clock   *hostfacts.Clock
	changed func()

	now atomic.Pointer[model.Facts]
	// resolvers is when each was last configured; run's own.
	resolvers map[netip.Addr]time.Time
}

// newFacts begins with what was known when the node last ran.
func newFacts(cfg Config, root string, known model.Facts, changed func()) *facts {
	f := &facts{
		cfg: cfg, root: root, changed: changed, resolvers: map[netip.Addr]time.Time{},
		clock: hostfacts.NewClock(root, cfg.Way.Lookup, known.TimeServers),
	}
	cfg.Way.note(known.Servers...)
	for _, r := range known.Resolvers {
		f.resolvers[r] = time.Now()
	}
	f.read()
	return f
}

// Now returns the facts. It does not block.
func (f *facts) Now() model.Facts {
	now := *f.now.Load()
	now.PodRange = f.cfg.PodRange()
	return now
}

// read makes the facts anew, and tells whether they changed.
func (f *facts) read() bool {
	next := ofHost(f.cfg.Host, f.root)
	for _, r := range next.Resolvers {
		f.resolvers[r] = time.Now()
	}
	next.Resolvers = nil
	for r, at := range f.resolvers {
		if time.Since(at) < keepResolver {
			next.Resolvers = append(next.Resolvers, r)
		} else {
			delete(f.resolvers, r)
		}
	}
	slices.SortFunc(next.Resolvers, netip.Addr.Compare)
	next.Servers, next.TimeServers = f.cfg.Way.Servers(), f.clock.Addrs()
	next.PodLink, next.RelayLink = f.cfg.PodLink, f.cfg.RelayLink
	next.Services, next.ClusterDNS, next.API = f.cfg.Services, f.cfg.ClusterDNS, f.cfg.API
	if next.API.IsValid() {
		next.APIPorts = apiPorts
	}
	before := f.now.Swap(&next)
	return before == nil || !reflect.DeepEqual(*before, next)
}

// ofHost are facts that need neither a cluster nor a network.
func ofHost(h Host, root string) model.Facts {
	failsafe := slices.Clone(h.Failsafe)
	slices.SortFunc(failsafe, func(a, b model.Failsafe) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Port, b.Port))
	})
	return model.Facts{Door: h.Door, Failsafe: slices.Compact(failsafe), Resolvers: hostfacts.Resolvers(root, h.ResolvConf)}
}

// run reads again and again until ctx ends.
func (f *facts) run(ctx context.Context) {
	var clock sync.WaitGroup
	defer clock.Wait()
	clock.Go(func() { f.runClock(ctx) })
	ticker := time.NewTicker(factsEvery)
	defer ticker.Stop()
	for {
		if f.read() {
			f.changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-f.cfg.Way.changed:
		}
	}
}

// runClock looks time servers up; it may wait for a resolver for long.
func (f *facts) runClock(ctx context.Context) {
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		f.clock.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// addresses are those of the host's links.
func addresses() []netip.Addr {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil // unknown is what an empty list means
	}
	var out []netip.Addr
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap().WithZone(""))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
