package edgefw

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/edgefw/store"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

const (
	// lookAfter is how often the kernel is compared with what it is to have
	// although nobody said that anything changed.
	lookAfter = 30 * time.Second
	// gather is how long changes are gathered that follow a pass. One that comes
	// alone does not wait.
	gather = 10 * time.Millisecond
	// firstWord is how long after the start pods wait for what a server says now:
	// it may have policies of which the disk knows nothing. A node that is cut off
	// starts its pods with what it has.
	firstWord = 5 * time.Second
	// retryMin is the first pause after an error, which doubles up to lookAfter.
	retryMin = time.Second
)

// Loop enforces rulesets on this node. Its methods may be called from any
// goroutine; [Loop.Run] is called once.
type Loop struct {
	cfg    Config
	log    *slog.Logger
	wake   chan struct{}
	proved chan proof
	pods   *podTable
	counts *counts
	// heard is closed when a server's rules are in force, or after firstWord.
	heard     chan struct{}
	heardOnce sync.Once

	mu sync.Mutex
	// incoming is what a server said last, nil before.
	incoming *incoming
	stream   *stream
	// seen is what snapshots are made of.
	seen seen

	// The rest is the loop's own.
	names   *names
	judge   *judge
	wanted  *candidate
	minimal bool
	proofs  proofs
	saver   saver
	cutter  cutter
	told    told
	// kept are the pods' rules of the process before, and since then what was
	// written to the file of pods: that of keptPods and of the ruleset keptOf.
	kept     *keptRules
	keptPods uint64
	keptOf   *model.Ruleset
	// savedHost are the host's rules on disk, savedGuarded the namespaces with
	// policies, facts those of the latest pass.
	savedHost    protocol.Hash
	savedGuarded []string
	facts        model.Facts
}

// incoming is a ruleset from a server.
type incoming struct {
	revision uint64
	ruleset  *model.Ruleset
	manifest protocol.Manifest
	at       time.Time
	// err is why it could not be read; ruleset is the former one then.
	err error
}

// New makes a loop. Nothing is read or changed.
func New(cfg Config, log *slog.Logger) (*Loop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Tell == nil {
		cfg.Tell = func(Notice) {}
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	kept := readKept(cfg.PodsFile, log)
	l := &Loop{
		cfg: cfg, log: log, wake: make(chan struct{}, 1), proved: make(chan proof, 1), heard: make(chan struct{}),
		pods: newPodTable(kept.Pods), kept: kept.Rules, counts: newCounts(),
	}
	l.cutter = cutter{kernel: cfg.Kernel, log: log, wake: make(chan struct{}, 1)}
	l.saver = saver{file: cfg.File, log: log}
	return l, nil
}

// Run enforces until ctx ends, and leaves the kernel as it is then. It is ready
// when what is on disk was applied, or when it is known that it cannot be.
func (l *Loop) Run(ctx context.Context, ready func()) error {
	l.load()
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	for _, run := range []func(context.Context){
		l.names.run, l.cutter.run, l.watch, l.drops, l.hear,
	} {
		others.Go(func() { run(ctx) })
	}
	defer l.flush()
	defer l.proofs.stop()
	err := l.pass(ctx)
	ready()
	for retry := retryMin; ; {
		wait := l.proofs.next(l.saver.next(lookAfter))
		if err != nil {
			wait = retry/2 + rand.N(retry)
			retry = min(2*retry, l.patience())
		} else {
			retry = retryMin
		}
		if !l.await(ctx, wait) {
			return ctx.Err()
		}
		err = l.pass(ctx)
	}
}

// patience is the longest pause after an error: short while rules are to go back.
func (l *Loop) patience() time.Duration {
	if l.judge.phase == settled {
		return lookAfter
	}
	return 2 * retryMin
}

// await waits for something to do, and takes in the result of a proof. It returns
// false when ctx ended.
func (l *Loop) await(ctx context.Context, wait time.Duration) bool {
	ended := time.Now()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-l.wake:
	case <-timer.C:
	case p := <-l.proved:
		l.conclude(p)
		return true
	}
	return lifecycle.Pause(ctx, gather-time.Since(ended))
}

// load begins with what is on disk: nothing, the last proven state, or the minimal
// safe set where that is damaged.
func (l *Loop) load() {
	s, err := store.Read(l.cfg.File)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		s = &store.State{Ruleset: &model.Ruleset{}}
	default:
		l.minimal = true
		s = &store.State{Ruleset: plan.Safe()}
		l.log.Error("the last rules are lost, only what is implied may come in until a server is heard", "error", err)
		l.cfg.Tell(Notice{Minimal, "the rules on disk cannot be believed (" + err.Error() + "): only what is implied may come in until a server is heard"})
	}
	s.Ruleset = l.kept.over(s.Ruleset, s.Revision)
	proven, err := newCandidate(s.Revision, s.Ruleset, nil, s.Names)
	if err != nil { // it was hashed before it was written
		l.log.Error("the last rules cannot be read", "error", err)
		l.minimal = true
		proven, _ = newCandidate(0, plan.Safe(), nil, nil)
	}
	l.judge = newJudge(proven, s.Refused)
	l.facts, l.savedHost, l.savedGuarded = s.Facts, proven.manifest.Host, s.Ruleset.Pods.Guarded
	l.update(func(n *seen) { n.held, n.enforced, n.proven = proven.ruleset, proven.revision, proven.revision })
	l.names = newNames(l.cfg.Lookup, s.Names, l.Wake)
	if l.minimal {
		l.saver.hold()
	}
}

// Wake has everything looked at again: pods, facts, names.
func (l *Loop) Wake() { notify(l.wake) }

// notify leaves a note in a channel of capacity one.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watch has the kernel watched until ctx ends.
func (l *Loop) watch(ctx context.Context) {
	l.again(ctx, "watching the kernel's rules", func(ctx context.Context) error {
		return l.cfg.Kernel.Watch(ctx, func() {
			l.counts.restored()
			l.log.Warn("rules of kedge were removed or changed by somebody else, and are back")
			l.cfg.Tell(Notice{Restored, "rules of kedge were removed or changed by somebody else, and are back"})
			l.Wake()
		})
	})
}

// drops logs refused packets until ctx ends.
func (l *Loop) drops(ctx context.Context) {
	d := newDropLog(l.log)
	l.again(ctx, "reading refused packets", func(ctx context.Context) error { return l.cfg.Kernel.Drops(ctx, d.tell) })
}

// again starts what ended before ctx did.
func (l *Loop) again(ctx context.Context, what string, run func(context.Context) error) {
	said := ""
	for {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			l.log.Warn("a part of the firewall ended, started again", "part", what, "error", err)
		}
		if !lifecycle.Pause(ctx, lookAfter/2+rand.N(lookAfter)) {
			return
		}
	}
}
