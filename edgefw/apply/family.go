package apply

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"github.com/kedge-io/kedge/edgefw/apply/ipset"
	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// family is one family's part of the kernel, and what is known of it.
type family struct {
	family  render.Family
	program program
	sets    *ipset.Handle
	chains  *iptables.IPTables // nil until it is needed

	// missing says why this family cannot be enforced; empty if it can.
	missing string

	// lacks has tables that this kernel does not.
	lacks map[string]bool

	present present
}

// present is what the kernel has of one family.
type present struct {
	generation render.Generation
	// table is what the generation was made of; nil if it was made by another
	// process and differs from what is wished.
	table *render.Table
	// lines are ours of table mangle, ends those of tables in which marked packets
	// end.
	lines listing
	ends  map[string]listing
	// content is what a set in use holds, slots where it is, names what sets
	// there are.
	content map[model.SetID][]netip.Prefix
	slots   map[model.SetID]render.Slot
	names   map[string]int // entries
}

func newFamily(f render.Family, p program, sets *ipset.Handle) *family {
	fam := &family{family: f, program: p, sets: sets, lacks: map[string]bool{}}
	if p.main == "" {
		fam.missing = fmt.Sprintf("IPv%d is not enforced: there is no ip6tables: %s", f, remedy)
	}
	return fam
}

// idle tells that there is nothing to do for a family: the machine does not speak
// it.
func (f *family) idle() bool { return f.family == render.V6 && !hasIPv6() }

// look reads what the kernel has of ours.
func (f *family) look(ctx context.Context) error {
	p := present{
		content: map[model.SetID][]netip.Prefix{},
		slots:   map[model.SetID]render.Slot{},
	}
	var err error
	if p.lines, err = f.list(ctx, "mangle"); err != nil {
		return err
	}
	if p.ends, err = f.listEnds(ctx); err != nil {
		return err
	}
	if p.names, err = f.setNames(); err != nil {
		return err
	}
	p.generation = p.lines.generation()
	f.present = p
	return f.sweepChains(ctx)
}

// sweepChains removes what a process left that was killed between two
// generations. Nothing leads there, but it uses sets.
func (f *family) sweepChains(ctx context.Context) error {
	var names []string
	for name := range f.present.lines.chains {
		if strings.HasPrefix(name, f.present.generation.Other().Chain("")) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	for _, name := range names {
		delete(f.present.lines.chains, name)
	}
	if err := f.program.load(ctx, render.Drop(names)); err != nil {
		return f.program.load(ctx, render.Flush(names)) // somebody jumps to one of them
	}
	return nil
}

func (f *family) list(ctx context.Context, table string) (listing, error) {
	text, err := f.program.dump(ctx, table, false)
	if err != nil {
		return listing{}, err
	}
	return parse(text), nil
}

// setNames are the kernel's names of our sets of the family with how many entries
// they have. Without ipset there are none.
func (f *family) setNames() (map[string]int, error) {
	if f.sets.Supported() != nil {
		return nil, nil
	}
	names := map[string]int{}
	list, err := f.sets.List(render.SetPrefix)
	for _, s := range list {
		if s.IPv6 == (f.family == render.V6) {
			names[s.Name] = s.Entries
		}
	}
	return names, err
}

// slot is where a set is, or is to be.
func (f *family) slot(id model.SetID) render.Slot {
	if s, ok := f.present.slots[id]; ok {
		return s
	}
	return render.SlotA
}

func (f *family) name(id model.SetID) string { return render.SetName(id, f.family, f.slot(id)) }

// find learns of a set in the kernel that this process did not make: of two, the
// one that the rules of the present generation use.
func (f *family) find(id model.SetID) error {
	if _, known := f.present.content[id]; known {
		return nil
	}
	for _, slot := range []render.Slot{render.SlotA, render.SlotB} {
		name := render.SetName(id, f.family, slot)
		if _, there := f.present.names[name]; !there || !f.present.lines.mention(name) {
			continue
		}
		entries, err := f.sets.Entries(name)
		if err != nil {
			return err
		}
		f.present.slots[id], f.present.content[id] = slot, entries
		return nil
	}
	return nil
}

// render makes the table of a wish with sets where slot says.
func (f *family) render(w Wish, slot func(model.SetID) render.Slot) *render.Table {
	return render.New(render.Input{Family: f.family, Ruleset: w.Ruleset, Facts: w.Facts, Pods: w.Local.Pods, Slot: slot})
}

// library is go-iptables, which runs programs to begin with.
func (f *family) library() (*iptables.IPTables, error) {
	if f.chains != nil {
		return f.chains, nil
	}
	var err error
	f.chains, err = f.program.chains()
	return f.chains, err
}

// stale are our chains in table mangle that the present table does not have.
func (f *family) stale(keep map[string][]string) []string {
	var names []string
	for name := range f.present.lines.chains {
		if _, kept := keep[name]; !kept && strings.HasPrefix(name, render.Prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
