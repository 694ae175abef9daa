package shape

import (
	"github.com/kedge-io/kedge/agent/bandwidth/classify"
)

// Programs is the classifier of package classify on this kernel.
type Programs struct {
	Abilities classify.Abilities
}

// Load makes programs with empty tables.
func (p Programs) Load() (Set, error) {
	s, err := classify.Load(p.Abilities)
	if err != nil {
		return nil, err
	}
	return programSet{s}, nil
}

// Adopt finds the tables of programs that are attached.
func (p Programs) Adopt(ids []uint32) (Set, error) {
	s, err := classify.Adopt(p.Abilities, ids...)
	if err != nil {
		return nil, err
	}
	return programSet{s}, nil
}

type programSet struct{ *classify.Set }

func (s programSet) Program(h Hook) (fd int, id uint32) {
	return s.FD(classify.Hook(h)), s.ID(classify.Hook(h))
}

func (s programSet) Close() error {
	s.Set.Close()
	return nil
}
