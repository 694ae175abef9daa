package apply

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// renew makes a new generation and clears up behind it. Packets meet the former
// one until the single restore in the middle.
func (t *task) renew(ctx context.Context) error {
	f := t.f
	if !t.rules && len(t.changes) == 0 {
		return nil
	}
	slots, err := t.place(ctx)
	if err != nil {
		return err
	}
	table := f.render(t.wish, func(id model.SetID) render.Slot { return slots[id] })
	if table.Rejects {
		if err := f.ensureRejects(ctx); err != nil {
			return err
		}
	}
	if err := f.ensureHooks(ctx, table); err != nil {
		return err
	}
	next := f.present.generation.Other()
	if err := f.load(ctx, table, next); err != nil {
		return err
	}
	t.took = time.Since(t.began)
	f.present.generation, f.present.table = next, table
	// From here on the new revision is in force, whatever else happens.
	if err := t.settle(ctx, table, next, slots); err != nil {
		t.untidy = true
		t.k.cfg.Log.Warn("clearing up behind a new generation of firewall rules; the next look at them does", "family", int(f.family), "error", err)
	}
	return nil
}

// load gives the kernel a generation.
func (f *family) load(ctx context.Context, table *render.Table, g render.Generation) error {
	present := func(chain string) bool {
		have, there := f.present.lines.chains[chain]
		return there && (len(have) > 0 || !strings.HasPrefix(chain, render.KeptPrefix)) // somebody may have flushed it
	}
	return f.program.load(ctx, table.Restore(g, present))
}

// settle reads the former generation's counters, which do not change any more,
// and removes what nothing leads to.
func (t *task) settle(ctx context.Context, table *render.Table, g render.Generation, slots map[model.SetID]render.Slot) error {
	f := t.f
	text, err := f.program.dump(ctx, "mangle", true)
	if err != nil {
		return err
	}
	t.former = t.k.counters(text, g.Other().Chain(""))
	f.present.lines = parse(text)
	if err := f.dropHooks(table); err != nil {
		return err
	}
	keep := table.Lines(g)
	for _, h := range render.Hooks {
		if !table.Uses(h) {
			keep[h.Chain()] = nil // it is gone
		}
	}
	if stale := f.stale(keep); len(stale) > 0 {
		if err := f.program.load(ctx, render.Drop(stale)); err != nil {
			return err
		}
	}
	if !table.Rejects && !f.silent() {
		if err := f.dropRejects(); err != nil {
			return err
		}
	}
	if err := f.refresh(ctx, "mangle", &f.present.lines); err != nil {
		return err
	}
	if !alike(f.present.lines, table, g) {
		return fmt.Errorf("IPv%d: somebody changed the rules while they were made", f.family)
	}
	f.present.slots = slots
	f.present.content = map[model.SetID][]netip.Prefix{}
	for _, id := range table.Sets {
		f.present.content[id] = t.k.content(t.wish, id, f.family)
	}
	return f.sweepSets(ctx)
}

// sweepSets destroys sets that no rule uses any more.
func (f *family) sweepSets(ctx context.Context) error {
	used := map[string]bool{}
	for id := range f.present.content {
		used[f.name(id)] = true
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(f.present.names)) {
		if !used[name] {
			names = append(names, name)
		}
	}
	if err := destroy(ctx, f.sets, names...); err != nil {
		return err
	}
	for _, name := range names {
		delete(f.present.names, name)
	}
	return nil
}
