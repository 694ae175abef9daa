package edgefw

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
)

const (
	// namesEvery is how often names are looked up, with a jitter of a tenth.
	namesEvery = 30 * time.Second
	// namesKeep is for how long an address counts that a name no longer has:
	// programs use answers for longer than resolvers do.
	namesKeep = 10 * time.Minute
	// namesLimit bounds one look at a name.
	namesLimit = 5 * time.Second
	// maxNameAddrs bounds the addresses of one name; the newest stay.
	maxNameAddrs = 64
	// namesAtOnce is how many names are looked up at the same time.
	namesAtOnce = 8
)

// Lookup finds the addresses of a name.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// names knows the addresses of the DNS names that rulesets have.
type names struct {
	lookup  Lookup
	changed func()

	mu   sync.Mutex
	seen map[string]map[netip.Addr]time.Time
	wake chan struct{}
}

// newNames begins with what was known when the node last ran, as of now: without
// a resolver it stays.
func newNames(lookup Lookup, known map[string][]netip.Addr, changed func()) *names {
	n := &names{lookup: lookup, changed: changed, seen: map[string]map[netip.Addr]time.Time{}, wake: make(chan struct{}, 1)}
	for name, addrs := range known {
		n.want(name)
		n.note(name, addrs)
	}
	return n
}

// of returns the addresses of the names that the sets have, sorted, and has the
// names looked up from now on that are new, and others no more.
func (n *names) of(sets ...map[model.SetID]model.Set) map[string][]netip.Addr {
	wanted := map[string]bool{}
	for _, s := range sets {
		for _, set := range s {
			if set.Name != "" {
				wanted[set.Name] = true
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.seen {
		if !wanted[name] {
			delete(n.seen, name)
		}
	}
	out := map[string][]netip.Addr{}
	for name := range wanted {
		n.want(name)
		for addr := range n.seen[name] {
			out[name] = append(out[name], addr)
		}
		slices.SortFunc(out[name], netip.Addr.Compare)
	}
	return out
}

// want begins to look a name up. The lock is held, or nobody else is there.
func (n *names) want(name string) {
	if n.seen[name] == nil {
		n.seen[name] = map[netip.Addr]time.Time{}
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// run looks names up until ctx ends.
func (n *names) run(ctx context.Context) {
	for {
		n.look(ctx)
		timer := time.NewTimer(namesEvery + rand.N(namesEvery/10))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-n.wake:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// look looks every name up once. A name that cannot be found keeps what it has.
func (n *names) look(ctx context.Context) {
	var all sync.WaitGroup
	slots := make(chan struct{}, namesAtOnce)
	for _, name := range n.wanted() {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			limited, cancel := context.WithTimeout(ctx, namesLimit)
			defer cancel()
			if addrs, err := n.lookup(limited, name); err == nil && n.found(name, addrs) {
				n.changed()
			}
		})
	}
	all.Wait()
}

func (n *names) wanted() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for name := range n.seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// found takes an answer in and tells whether that has changed anything.
func (n *names) found(name string, addrs []netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	have := n.seen[name]
	if have == nil {
		return false // not wanted any more
	}
	before := len(have)
	added := n.note(name, addrs)
	gone := false
	for addr, at := range have {
		if time.Since(at) > namesKeep {
			delete(have, addr)
			gone = true
		}
	}
	return added || gone || len(have) != before
}

// note adds addresses as of now, and tells whether one was new. The lock is held.
func (n *names) note(name string, addrs []netip.Addr) (added bool) {
	have, now := n.seen[name], time.Now()
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		_, ok := have[a]
		added = added || !ok
		have[a] = now
	}
	for len(have) > maxNameAddrs {
		var oldest netip.Addr
		for a, at := range have {
			if !oldest.IsValid() || at.Before(have[oldest]) {
				oldest = a
			}
		}
		delete(have, oldest)
	}
	return added
}
