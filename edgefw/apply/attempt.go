package apply

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// attempt is one call of Apply.
type attempt struct {
	k      *Kernel
	wish   Wish
	began  time.Time
	result Result
	tasks  []*task
	fresh  bool // the kernel was read
}

// task is what is to be done for one family.
type task struct {
	*attempt
	f       *family
	table   *render.Table // with sets where they are
	rules   bool          // the rules differ from those of the kernel
	changes map[model.SetID]change
	took    time.Duration
	untidy  bool // the kernel is to be read before the next wish
	former  []Counter
}

func (k *Kernel) attempt(ctx context.Context, w Wish) (*attempt, error) {
	a := &attempt{k: k, wish: w, began: time.Now()}
	if err := a.prepare(ctx); err != nil {
		return a, err
	}
	a.result.Way = a.way()
	if a.result.Way != Generation && a.fresh {
		if err := a.each(func(t *task) error { return t.f.sweepSets(ctx) }); err != nil {
			return a, err
		}
	}
	switch a.result.Way {
	case Nothing:
		return a, a.verify(ctx)
	case InPlace, Swap:
		return a, a.each((*task).changeSet)
	}
	return a, a.generation(ctx)
}

// generation renews what differs, in all families at a time.
func (a *attempt) generation(ctx context.Context) error {
	a.result.Way = Generation
	err := a.k.own(func() error {
		return a.each(func(t *task) error { return t.renew(ctx) })
	})
	if err != nil {
		return err
	}
	for _, t := range a.tasks {
		a.k.read = a.k.read && !t.untidy
		a.result.Took = max(a.result.Took, t.took)
		a.result.Former = append(a.result.Former, t.former...)
	}
	a.result.Former = sum(a.result.Former)
	a.k.split.forget(a.wish.Ruleset)
	return nil
}

// prepare compares the wish with what the kernel has.
func (a *attempt) prepare(ctx context.Context) error {
	a.choose()
	if err := a.look(ctx); err != nil {
		return err
	}
	// One after the other: they share what is known of the sets.
	for _, t := range a.tasks {
		if err := t.compare(); err != nil {
			return err
		}
	}
	return nil
}

// choose takes the families that the machine speaks and can filter.
func (a *attempt) choose() {
	for _, f := range a.k.families {
		switch {
		case f.idle():
		case f.missing != "" && f.render(a.wish, f.slot).Empty():
		case f.missing != "":
			a.result.Unenforced = append(a.result.Unenforced, f.missing)
		default:
			a.tasks = append(a.tasks, &task{attempt: a, f: f})
			a.k.read = a.k.read && f.present.generation != ""
		}
	}
}

// look reads the kernel if what is known of it is not sure. A machine whose IPv6
// cannot be filtered has its IPv4 filtered.
func (a *attempt) look(ctx context.Context) error {
	if a.k.read {
		return nil
	}
	swept := make(chan error, 1)
	go func() { swept <- a.k.sweepOther(ctx) }()
	var readable []*task
	var mu sync.Mutex
	err := a.each(func(t *task) error {
		err := t.f.look(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil && t.f.family == render.V6 {
			a.result.Unenforced = append(a.result.Unenforced, "IPv6 is not enforced: "+err.Error())
			return nil
		}
		readable = append(readable, t)
		return err
	})
	err = errors.Join(err, <-swept)
	a.tasks = readable
	a.k.read, a.fresh = err == nil, true
	return err
}

// each does something for all families at a time.
func (a *attempt) each(do func(*task) error) error {
	failed := make([]error, len(a.tasks))
	var wg sync.WaitGroup
	for i, t := range a.tasks {
		wg.Go(func() { failed[i] = do(t) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

func (t *task) compare() error {
	f := t.f
	// The first pass tells which sets there are, the second where.
	for _, id := range f.render(t.wish, f.slot).Sets {
		if err := f.find(id); err != nil {
			return err
		}
	}
	t.table = f.render(t.wish, f.slot)
	t.k.remember(t.wish, t.table)
	t.rules = !f.holds(t.table)
	t.changes = map[model.SetID]change{}
	if len(t.table.Sets) > 0 && f.present.names == nil {
		return f.sets.Supported()
	}
	for _, id := range t.table.Sets {
		have, there := f.present.content[id]
		want := t.k.content(t.wish, id, f.family)
		if c := differ(have, want); !c.none() || !there {
			t.changes[id] = c
		}
	}
	return nil
}

// holds tells whether the kernel has the table's rules already.
func (f *family) holds(t *render.Table) bool {
	if known := f.present.table; known != nil {
		return known.Hash() == t.Hash()
	}
	if t.Empty() {
		return len(f.present.lines.chains) == 0 && len(f.present.lines.jumps) == 0 && len(f.present.names) == 0
	}
	if !f.hooked(t) || !f.present.lines.same(t.Lines(f.present.generation)) {
		return false
	}
	f.present.table = t
	return true
}

// hooked tells whether all jumps are there and none that is not needed.
func (f *family) hooked(t *render.Table) bool {
	want := 0
	for _, h := range render.Hooks {
		if !t.Uses(h) {
			continue
		}
		want++
		if !slices.Contains(f.present.lines.jumps, jump(h.Builtin, "", h.Chain())) {
			return false
		}
	}
	if len(f.present.lines.jumps) != want {
		return false
	}
	if !t.Rejects {
		return f.silent()
	}
	return f.answers()
}

// way is the cheapest one that leaves no moment with half of the change.
func (a *attempt) way() Way {
	ids := map[model.SetID]bool{}
	way := Nothing
	for _, t := range a.tasks {
		if t.rules {
			return Generation
		}
		for id, c := range t.changes {
			ids[id] = true
			if way == Nothing {
				way = InPlace
			}
			if !c.oneStep() {
				way = Swap
			}
			if _, there := t.f.present.content[id]; !there {
				return Generation
			}
		}
	}
	if len(ids) > 1 {
		return Generation
	}
	return way
}
