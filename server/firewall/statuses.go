package firewall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/distribute"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/server/firewall/sources"
)

// calm is how long a first change waits for others: most nodes acknowledge
// within it, so that one write says it all.
const calm = 300 * time.Millisecond

// statuses writes how far the nodes are to the firewalls: one compact status for
// each, and none while nothing changes. A change of one node costs no write of
// its own.
type statuses struct {
	f     *Firewall
	kicks chan struct{}
	told  *teller
	// since is the revision that first contained what is wanted, by UID.
	since map[types.UID]contained
}

// contained is from which revision on a generation of a firewall is in the rules,
// with the address sets that it names as they are.
type contained struct {
	generation int64
	sets       string
	revision   uint64
}

// contentOf tells address sets apart that a firewall names: one that did not change
// keeps its slice.
func contentOf(f model.Firewall, sets map[string]model.AddressSet) string {
	var b strings.Builder
	for _, name := range sources.AddressSets(f) {
		prefixes := sets[name].Prefixes
		fmt.Fprintf(&b, "%s %p %d\n", name, prefixes, len(prefixes))
	}
	return b.String()
}

func newStatuses(f *Firewall) *statuses {
	return &statuses{f: f, kicks: make(chan struct{}, 1), since: map[types.UID]contained{}}
}

// kick asks for a pass. It does not block.
func (s *statuses) kick() {
	select {
	case s.kicks <- struct{}{}:
	default:
	}
}

// run makes passes until ctx ends, not more often than the pause allows.
func (s *statuses) run(ctx context.Context) {
	s.told = newTeller(ctx, s.f)
	defer s.told.stop()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kicks:
		}
		wait.Reset(calm)
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if err := s.pass(ctx); err != nil && ctx.Err() == nil {
			if s.f.quiet.First("status") {
				s.f.log.Warn("the status of firewalls is not written yet, trying on", "error", err)
			}
			s.kick()
		}
		wait.Reset(s.f.cfg.Pause)
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
	}
}

// pass writes what is different.
func (s *statuses) pass(ctx context.Context) error {
	now := s.f.compiled.Load()
	if now == nil {
		return nil
	}
	states := s.f.states()
	s.told.tell(now, states)
	selecting := s.selecting(now)
	var errs []error
	seen := map[types.UID]bool{}
	for _, o := range list[*v1alpha1.EdgeFirewall](s.f.caches.firewalls) {
		seen[o.UID] = true
		sums, ok := s.sum(o, now, selecting[o.Name], states)
		if !ok {
			continue // not compiled yet: the next compile kicks again
		}
		status := sum(o, sums, s.f.cfg.Now())
		if equality.Semantic.DeepEqual(o.Status, status) {
			continue
		}
		next := *o
		next.Status = status
		s.f.writes.Add(1)
		// Somebody else may have written, or deleted it: the watch will say so.
		if err := s.f.api.write(ctx, &next); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("write status of EdgeFirewall %s: %w", o.Name, err))
		}
	}
	for uid := range s.since {
		if !seen[uid] {
			delete(s.since, uid)
		}
	}
	return errors.Join(errs...)
}

// selecting are the nodes of each firewall, without those that are still joining.
func (s *statuses) selecting(now *compiled) map[string][]string {
	of := map[string][]string{}
	for node, firewalls := range now.Of {
		if !s.f.places.has(node) {
			continue
		}
		for _, name := range firewalls {
			of[name] = append(of[name], node)
		}
	}
	return of
}

// sum gathers what the status of a firewall is made of; false while the rules
// are made of another generation.
func (s *statuses) sum(o *v1alpha1.EdgeFirewall, now *compiled, selected []string, states map[string]distribute.NodeState) (summed, bool) {
	read := s.f.read(o)
	if read.err != nil {
		return summed{invalid: read.err, revision: now.revision}, true
	}
	at := slices.IndexFunc(now.input.Firewalls, func(m model.Firewall) bool { return m.Name == o.Name })
	if at < 0 || now.input.Firewalls[at].Generation != o.Generation {
		return summed{}, false
	}
	in, sets := s.since[o.UID], contentOf(now.input.Firewalls[at], now.input.Inventory.AddressSets)
	if in.revision == 0 || in.generation != o.Generation || in.sets != sets {
		in = contained{o.Generation, sets, now.revision}
		s.since[o.UID] = in
	}
	sums := summed{revision: in.revision, missing: missing(now.input.Firewalls[at], now.input.Inventory.AddressSets)}
	for _, node := range selected {
		sums.nodes = append(sums.nodes, s.f.standing(node, states, in.revision))
	}
	return sums, true
}

// missing are address sets that a firewall names and that do not exist.
func missing(f model.Firewall, sets map[string]model.AddressSet) []string {
	return slices.DeleteFunc(slices.Clone(sources.AddressSets(f)), func(name string) bool {
		_, ok := sets[name]
		return ok
	})
}

// highest is the highest revision that any status names: new ones are above it.
func (f *Firewall) highest() uint64 {
	var top uint64
	for _, o := range list[*v1alpha1.EdgeFirewall](f.caches.firewalls) {
		top = max(top, uint64(max(0, o.Status.Revision)))
	}
	return top
}
