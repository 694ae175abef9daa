package apply

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply/ipset"
	"github.com/kedge-io/kedge/edgefw/apply/notice"
	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// Config is what a [Kernel] works with.
type Config struct {
	Log *slog.Logger
	// Variant is that of iptables: [Legacy] or [NFT]; empty for what iptables in
	// the PATH is.
	Variant Variant
}

// Wish is what is to be enforced. It must not be changed once it was given.
type Wish struct {
	Ruleset *model.Ruleset
	Facts   model.Facts
	Local   plan.Local
}

// Way is how a wish was fulfilled.
type Way string

// The ways, cheapest first.
const (
	Nothing    Way = "nothing"    // the kernel was as wished
	InPlace    Way = "in place"   // an entry of a set
	Swap       Way = "swap"       // the content of a set
	Generation Way = "generation" // new chains
)

// Result is what became of a wish.
type Result struct {
	// Took is the time until packets met the new rules; clearing up is not in it.
	Took time.Duration
	Way  Way
	// Former are the last counters of the generation that was replaced, nil if
	// none was.
	Former []Counter
	// Unenforced says what could not be enforced on this machine, and why: for
	// example IPv6, where ip6tables is missing.
	Unenforced []string
}

// Kernel is the firewall of the network namespace in which the process runs. Its
// methods can be used by several goroutines.
type Kernel struct {
	cfg      Config
	sets     *ipset.Handle
	families []*family

	mu    sync.Mutex
	wish  *Wish
	read  bool // what the families know is what the kernel has
	split splitter

	watcher  *notice.Watcher // nil while nobody watches
	enforces bool            // there is something to watch
	turned   chan struct{}   // closed when that changes

	words sync.Map // comments and prefixes of log entries -> render.Entry
}

// New looks for what is needed: the programs of iptables, or an error that says
// how to get them. Nothing is changed.
func New(cfg Config) (*Kernel, error) {
	programs, err := find(cfg.Variant)
	if err != nil {
		return nil, err
	}
	sets, err := ipset.Open()
	if err != nil {
		return nil, fmt.Errorf("reaching the kernel's sets: %w", err)
	}
	k := &Kernel{cfg: cfg, sets: sets, turned: make(chan struct{})}
	for _, f := range []render.Family{render.V4, render.V6} {
		k.families = append(k.families, newFamily(f, programs[f], sets))
	}
	return k, nil
}

// Close frees what the process holds. The rules stay.
func (k *Kernel) Close() error { return k.sets.Close() }

// Apply makes the kernel enforce the wish. Where it does already, it is looked at
// and put right. After an error the kernel has the former or the new revision in
// each family, one of them perhaps the new one, and the next call begins by reading
// it. What fails after the new one is in force is logged only, and done by the next
// call.
func (k *Kernel) Apply(ctx context.Context, w Wish) (Result, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wish = &w
	return k.apply(ctx, w)
}

func (k *Kernel) apply(ctx context.Context, w Wish) (Result, error) {
	began := time.Now()
	done, err := k.attempt(ctx, w)
	k.turn(err != nil || slices.ContainsFunc(k.families, func(f *family) bool {
		return f.present.table != nil && !f.present.table.Empty()
	}))
	if err != nil {
		k.read = false
		return Result{}, err
	}
	if done.result.Way == Nothing || done.result.Took == 0 {
		done.result.Took = time.Since(began)
	}
	return done.result, nil
}

// content are the entries of a set that are of the family.
func (k *Kernel) content(w Wish, id model.SetID, f render.Family) []netip.Prefix {
	return k.split.of(w, id, f)
}
