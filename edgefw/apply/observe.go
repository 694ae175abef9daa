package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/render"
)

// Observation tells whether the kernel has what was wished last.
type Observation struct {
	Equal bool
	// Differences are sentences for people.
	Differences []string
}

// Observe compares the kernel with the last wish and changes nothing.
func (k *Kernel) Observe(ctx context.Context) (Observation, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wish == nil || !k.read {
		return Observation{Differences: []string{"nothing was applied yet, or that failed"}}, nil
	}
	differences, err := k.differences(ctx)
	return Observation{Equal: err == nil && len(differences) == 0, Differences: differences}, err
}

func (k *Kernel) differences(ctx context.Context) ([]string, error) {
	var all []string
	for _, f := range k.families {
		if f.present.table == nil {
			continue
		}
		some, err := f.differences(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (f *family) differences(ctx context.Context) ([]string, error) {
	lines, err := f.list(ctx, "mangle")
	if err != nil {
		return nil, err
	}
	ends := f.present.ends
	if f.present.table.Rejects {
		if ends, err = f.listEnds(ctx); err != nil {
			return nil, err
		}
	}
	names, err := f.setNames()
	if err != nil {
		return nil, err
	}
	table := f.present.table
	seen := *f
	seen.present.lines, seen.present.ends = lines, ends
	var all []string
	say := func(format string, args ...any) {
		all = append(all, fmt.Sprintf("IPv%d: ", f.family)+fmt.Sprintf(format, args...))
	}
	if !seen.hooked(table) {
		say("jumps to chains of kedge are not as they were made; in table mangle there is: %s", strings.Join(lines.jumps, "; "))
	}
	if !lines.same(f.printed()) {
		say("chains of kedge were changed")
	}
	for _, name := range slices.Sorted(maps.Keys(f.present.names)) {
		if have, there := names[name]; !there || have != f.present.names[name] {
			say("set %s has %d entries, not %d", name, have, f.present.names[name])
		}
	}
	return all, nil
}

// printed is how this machine's iptables-save prints the present table: as it was
// read after it was made, since versions may differ from what render knows.
func (f *family) printed() map[string][]string {
	return f.present.lines.chains
}

// alike tells whether what was read is the table as far as the hash in the
// markers and the number of rules say.
func alike(have listing, t *render.Table, g render.Generation) bool {
	want := t.Lines(g)
	if len(have.chains) != len(want) {
		return false
	}
	for name, lines := range want {
		if len(have.chains[name]) != len(lines) {
			return false
		}
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(have.chains)), func(lines []string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, render.Marker+t.Hash()) })
	}) || t.Empty()
}

// verify is for wishes that need no change: what somebody else changed is made
// anew.
func (a *attempt) verify(ctx context.Context) error {
	differences, err := a.k.differences(ctx)
	if err != nil || len(differences) == 0 {
		return err
	}
	a.k.cfg.Log.Warn("firewall was changed by others, making it anew", "differences", differences)
	return a.again(ctx)
}

// again makes a new generation of what somebody else changed.
func (a *attempt) again(ctx context.Context) error {
	a.k.read = false
	fresh := &attempt{k: a.k, wish: a.wish, began: a.began}
	if err := fresh.prepare(ctx); err != nil {
		return err
	}
	if fresh.way() == Nothing {
		return fmt.Errorf("the kernel's rules change while they are looked at; is another firewall at work on chains %s*?", render.Prefix)
	}
	err := fresh.generation(ctx)
	a.result = fresh.result
	return err
}
