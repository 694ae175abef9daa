package classify

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
)

// Adopt returns the set to which the programs of running filters belong, by
// their ids. One program is enough: it knows all tables, and programs for hooks
// that none of the ids has are loaded anew. Ids whose programs have gone, or
// have other tables than the first that fits, are left out: [Set.ID] tells which
// filters are to be replaced.
//
// Without a program of this version of kedge among them, the error is
// [ErrForeign]: then [Load] a new set and replace the filters.
func Adopt(a Abilities, ids ...uint32) (*Set, error) {
	specs, err := programs(a)
	if err != nil {
		return nil, err
	}
	s := &Set{}
	var tables []ebpf.MapID
	for _, id := range ids {
		h, p, mapIDs := open(id, specs)
		if p == nil {
			continue
		}
		if s.maps == nil {
			if s.maps = openMaps(a, mapIDs); s.maps != nil {
				tables = mapIDs
			}
		}
		if s.maps == nil || s.programs[h] != nil || !slices.Equal(tables, mapIDs) {
			_ = p.Close()
			continue
		}
		s.programs[h] = p
	}
	if s.maps == nil {
		return nil, fmt.Errorf("programs %v: %w", ids, ErrForeign)
	}
	if err := s.load(a); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open returns the program with an id if it is one of ours, its hook and maps.
func open(id uint32, specs [hooks]*ebpf.ProgramSpec) (Hook, *ebpf.Program, []ebpf.MapID) {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return 0, nil, nil
	}
	if info, err := p.Info(); err == nil {
		h := slices.IndexFunc(specs[:], func(s *ebpf.ProgramSpec) bool { return s.Name == info.Name })
		if maps, ok := info.MapIDs(); ok && h >= 0 {
			slices.Sort(maps)
			return Hook(h), p, maps
		}
	}
	_ = p.Close()
	return 0, nil, nil
}

// openMaps returns the tables by name, nil unless they are exactly ours.
func openMaps(a Abilities, ids []ebpf.MapID) map[string]*ebpf.Map {
	out := map[string]*ebpf.Map{}
	complete := func() bool {
		for _, id := range ids {
			m, err := ebpf.NewMapFromID(id)
			if err != nil {
				return false
			}
			name := m.String()
			if info, err := m.Info(); err == nil {
				name = info.Name
			}
			if out[name] != nil {
				_ = out[name].Close()
			}
			out[name] = m
		}
		specs := mapSpecs()
		for _, name := range mapNames(a) {
			if out[name] == nil || specs[name].Compatible(out[name]) != nil {
				return false
			}
		}
		return len(out) == len(mapNames(a))
	}
	if complete() {
		return out
	}
	for _, m := range out {
		_ = m.Close()
	}
	return nil
}
