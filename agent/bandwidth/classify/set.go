package classify

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// Set is the programs of one uplink and their tables. Its methods may be called
// concurrently.
type Set struct {
	mu       sync.Mutex
	maps     map[string]*ebpf.Map
	programs [hooks]*ebpf.Program
	names    [hooks]string
	ids      [hooks]uint32
}

// ErrForeign is the error of [Adopt] for programs that are not of this version
// of kedge, or not kedge's at all.
var ErrForeign = errors.New("not a program of this version of kedge")

// Load puts new programs with empty tables into the kernel: every packet passes
// by until the first [Set.Update]. Close gives up what no filter uses.
func Load(a Abilities) (*Set, error) {
	// Kernels before 5.11 count maps against RLIMIT_MEMLOCK.
	_ = rlimit.RemoveMemlock()
	s := &Set{maps: map[string]*ebpf.Map{}}
	specs := mapSpecs()
	for _, name := range mapNames(a) {
		m, err := ebpf.NewMap(specs[name])
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("make the table %s: %w", name, err)
		}
		s.maps[name] = m
	}
	if err := s.load(a); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// load loads those programs that the set does not have yet.
func (s *Set) load(a Abilities) error {
	specs, err := programs(a)
	if err != nil {
		return err
	}
	for _, h := range Hooks {
		if s.programs[h] == nil {
			if s.programs[h], err = s.program(specs[h]); err != nil {
				return fmt.Errorf("load the program for %s: %w", h, err)
			}
		}
		s.names[h] = specs[h].Name
		info, err := s.programs[h].Info()
		if err != nil {
			return fmt.Errorf("read the id of the program for %s: %w", h, err)
		}
		id, _ := info.ID()
		s.ids[h] = uint32(id)
	}
	return nil
}

func (s *Set) program(spec *ebpf.ProgramSpec) (*ebpf.Program, error) {
	own := spec.Copy()
	for name, m := range s.maps {
		if err := own.Instructions.AssociateMap(name, m); err != nil {
			return nil, err
		}
	}
	return ebpf.NewProgram(own)
}

// FD is the descriptor of the hook's program, for a filter to attach. It belongs
// to the set.
func (s *Set) FD(h Hook) int { return s.programs[h].FD() }

// ID is the number by which the kernel shows the hook's program in a filter
// (TCA_BPF_ID).
func (s *Set) ID(h Hook) uint32 { return s.ids[h] }

// Name is the hook's program's. It holds the version.
func (s *Set) Name(h Hook) string { return s.names[h] }

// Close lets go of programs and tables. Those that a filter has stay.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.programs {
		_ = p.Close()
	}
	for _, m := range s.maps {
		_ = m.Close()
	}
}
