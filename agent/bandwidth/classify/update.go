package classify

import (
	"fmt"
	"maps"

	"github.com/cilium/ebpf"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// Update makes the tables those of the uplink. Only what differs is written:
// first what is new or other, containers before the pods that look for them,
// then what is stale goes in the opposite order. Classes that the uplink names
// must be in its trees before, and those that it no longer names may go after.
//
// An uplink with more entries than the tables hold changes nothing and is an
// error with both figures.
func (s *Set) Update(u plan.Uplink) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, err := tablesOf(u)
	if err != nil {
		return err
	}
	steps := s.steps(want)
	for _, step := range steps {
		if err := step.put(); err != nil {
			return fmt.Errorf("classes of uplink %s: %w", u.Device, err)
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if err := steps[i].drop(); err != nil {
			return fmt.Errorf("classes of uplink %s: %w", u.Device, err)
		}
	}
	return nil
}

// Differences tells in words where the tables are not those of the uplink; none
// after an Update.
func (s *Set) Differences(u plan.Uplink) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, err := tablesOf(u)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, step := range s.steps(want) {
		more, err := step.differences()
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// step is one table on its way to what is wanted.
type step interface {
	put() error
	drop() error
	differences() ([]string, error)
}

func (s *Set) steps(want tables) []step {
	return []step{
		table[prefix, uint32]{s.maps[mapLocal], want.local},
		table[uint32, uint32]{s.maps[mapReserve], want.reserve},
		table[portKey, portValue]{s.maps[mapPorts], want.ports},
		table[uint64, cgroupValue]{s.maps[mapCgroups], want.cgroups},
		table[uint32, linkValue]{s.maps[mapLinks], want.links},
		only{s.maps[mapSettings], want.settings},
	}
}

// table is a hash map or a trie.
type table[K, V comparable] struct {
	kernel *ebpf.Map
	want   map[K]V
}

func (t table[K, V]) read() (map[K]V, error) {
	have := map[K]V{}
	var key K
	var value V
	entries := t.kernel.Iterate()
	for entries.Next(&key, &value) {
		have[key] = value
	}
	if err := entries.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.kernel, err)
	}
	return have, nil
}

func (t table[K, V]) put() error {
	have, err := t.read()
	if err != nil {
		return err
	}
	for key, value := range t.want {
		if old, ok := have[key]; ok && old == value {
			continue
		}
		if err := t.kernel.Put(key, value); err != nil {
			return fmt.Errorf("write %v of %s: %w", key, t.kernel, err)
		}
	}
	return nil
}

func (t table[K, V]) drop() error {
	have, err := t.read()
	if err != nil {
		return err
	}
	for key := range have {
		if _, wanted := t.want[key]; wanted {
			continue
		}
		if err := t.kernel.Delete(key); err != nil {
			return fmt.Errorf("delete %v of %s: %w", key, t.kernel, err)
		}
	}
	return nil
}

func (t table[K, V]) differences() ([]string, error) {
	have, err := t.read()
	if err != nil || maps.Equal(have, t.want) {
		return nil, err
	}
	var out []string
	for key, value := range t.want {
		if got, ok := have[key]; !ok {
			out = append(out, fmt.Sprintf("%s: %v is missing", t.kernel, key))
		} else if got != value {
			out = append(out, fmt.Sprintf("%s: %v is %v, not %v", t.kernel, key, got, value))
		}
	}
	for key := range have {
		if _, wanted := t.want[key]; !wanted {
			out = append(out, fmt.Sprintf("%s: %v is too much", t.kernel, key))
		}
	}
	return out, nil
}

// only is the map of settings.
type only struct {
	kernel *ebpf.Map
	want   settings
}

func (o only) read() (have settings, err error) {
	if err := o.kernel.Lookup(uint32(0), &have); err != nil {
		return have, fmt.Errorf("read %s: %w", o.kernel, err)
	}
	return have, nil
}

func (o only) put() error {
	have, err := o.read()
	if err != nil || have == o.want {
		return err
	}
	if err := o.kernel.Put(uint32(0), o.want); err != nil {
		return fmt.Errorf("write %s: %w", o.kernel, err)
	}
	return nil
}

func (only) drop() error { return nil }

func (o only) differences() ([]string, error) {
	have, err := o.read()
	if err != nil || have == o.want {
		return nil, err
	}
	return []string{fmt.Sprintf("%s: %+v, not %+v", o.kernel, have, o.want)}, nil
}
