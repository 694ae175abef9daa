package apply

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply/ipset"
	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// changeSet changes the one set that differs, if it does in this family.
func (t *task) changeSet() error {
	for id, c := range t.changes {
		want := t.k.content(t.wish, id, t.f.family)
		name := t.f.name(id)
		var err error
		if c.oneStep() {
			err = t.f.inPlace(name, c)
		} else {
			err = t.f.swap(name, want)
		}
		if err != nil {
			return err
		}
		t.f.present.content[id], t.f.present.names[name] = want, len(want)
	}
	return nil
}

// inPlace adds before it deletes, see change.oneStep.
func (f *family) inPlace(name string, c change) error {
	for _, p := range c.add {
		if err := f.sets.Add(name, p); err != nil {
			return fmt.Errorf("adding %s: %w", p, err)
		}
	}
	for _, p := range c.del {
		if err := f.sets.Del(name, p); err != nil {
			return fmt.Errorf("deleting %s: %w", p, err)
		}
	}
	return nil
}

// swap fills a set aside and exchanges the two.
func (f *family) swap(name string, want []netip.Prefix) error {
	return f.sets.Replace(f.spec(name, len(want)), want)
}

// build makes a set under a name that no rule uses.
func (f *family) build(ctx context.Context, name string, want []netip.Prefix) error {
	if _, there := f.present.names[name]; there {
		if err := destroy(ctx, f.sets, name); err != nil {
			return err
		}
	}
	if err := f.sets.Create(f.spec(name, len(want))); err != nil {
		return err
	}
	f.present.names[name] = len(want)
	return f.sets.Fill(name, want)
}

// spec: single addresses are prefixes, too, and cost nothing more in a set that
// has no others.
func (f *family) spec(name string, entries int) ipset.Spec {
	return ipset.Spec{Name: name, Kind: ipset.Nets, IPv6: f.family == render.V6, Expect: entries}
}

// place gives each set that is to change a new place, and fills it.
func (t *task) place(ctx context.Context) (map[model.SetID]render.Slot, error) {
	slots := map[model.SetID]render.Slot{}
	for _, id := range t.table.Sets {
		slots[id] = t.f.slot(id)
		if _, changed := t.changes[id]; !changed {
			continue
		}
		slots[id] = t.f.free(id)
		name := render.SetName(id, t.f.family, slots[id])
		if err := t.f.build(ctx, name, t.k.content(t.wish, id, t.f.family)); err != nil {
			return nil, err
		}
	}
	return slots, nil
}

// free is a slot that no rule of the present generation uses.
func (f *family) free(id model.SetID) render.Slot {
	if _, used := f.present.content[id]; used {
		return f.slot(id).Other()
	}
	return render.SlotA
}

// letGo is how long the kernel may take to free rules that use a set: some
// milliseconds, more on a busy machine.
const letGo = 5 * time.Second

// destroy takes sets away that no rule names any more.
func destroy(ctx context.Context, sets *ipset.Handle, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, letGo)
	defer cancel()
	return sets.DestroyUnused(ctx, names...)
}
