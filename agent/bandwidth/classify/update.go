package classify

import (
	"errors"
	"fmt"
	"slices"

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
	steps, err := s.steps(want)
	if err != nil {
		return fmt.Errorf("classes of uplink %s: %w", u.Device, err)
	}
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

// Differences has a line for each entry that the tables have and the uplink has
// not ("+") and the other way round ("-"); none after an Update.
func (s *Set) Differences(u plan.Uplink) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want, err := tablesOf(u)
	if err != nil {
		return nil, err
	}
	steps, err := s.steps(want)
	if err != nil {
		return nil, fmt.Errorf("classes of uplink %s: %w", u.Device, err)
	}
	var out []string
	for _, step := range steps {
		out = append(out, step.differences()...)
	}
	return out, nil
}

// step is one table on its way from what it was to what is wanted.
type step interface {
	put() error
	drop() error
	differences() []string
}

// steps reads all tables.
func (s *Set) steps(want tables) ([]step, error) {
	var errs []error
	keep := func(st step, err error) step {
		errs = append(errs, err)
		return st
	}
	out := []step{
		keep(newTable(s.maps[mapLocal], want.local)),
		keep(newTable(s.maps[mapReserve], want.reserve)),
		keep(newTable(s.maps[mapPorts], want.ports)),
		keep(newTable(s.maps[mapCgroups], want.cgroups)),
		keep(newTable(s.maps[mapLinks], want.links)),
		keep(newOnly(s.maps[mapSettings], want.settings)),
	}
	return out, errors.Join(errs...)
}

// table is a hash map or a trie.
type table[K, V comparable] struct {
	kernel     *ebpf.Map
	have, want map[K]V
}

func newTable[K, V comparable](kernel *ebpf.Map, want map[K]V) (step, error) {
	have, err := readAll[K, V](kernel)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kernel, err)
	}
	return table[K, V]{kernel, have, want}, nil
}

// batch is how many entries are read at once. One bucket of a map must fit.
const batch = 512

// readAll reads a map, many entries at once where the kernel can (since 5.6,
// tries since 5.13).
func readAll[K, V comparable](kernel *ebpf.Map) (map[K]V, error) {
	have := map[K]V{}
	keys, values := make([]K, batch), make([]V, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := kernel.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return readEach[K, V](kernel)
		}
		for i := range n {
			have[keys[i]] = values[i]
		}
		if err != nil { // that was the end
			return have, nil
		}
	}
}

func readEach[K, V comparable](kernel *ebpf.Map) (map[K]V, error) {
	have := map[K]V{}
	var key K
	var value V
	entries := kernel.Iterate()
	for entries.Next(&key, &value) {
		have[key] = value
	}
	return have, entries.Err()
}

func (t table[K, V]) put() error {
	for key, value := range t.want {
		if old, ok := t.have[key]; ok && old == value {
			continue
		}
		if err := t.kernel.Put(key, value); err != nil {
			return fmt.Errorf("write %v of %s: %w", key, t.kernel, err)
		}
	}
	return nil
}

func (t table[K, V]) drop() error {
	for key := range t.have {
		if _, wanted := t.want[key]; wanted {
			continue
		}
		if err := t.kernel.Delete(key); err != nil {
			return fmt.Errorf("delete %v of %s: %w", key, t.kernel, err)
		}
	}
	return nil
}

func (t table[K, V]) differences() []string {
	var out []string
	for key, value := range t.want {
		if got, ok := t.have[key]; !ok {
			out = append(out, fmt.Sprintf("- %s: %v: %v", t.kernel, key, value))
		} else if got != value {
			out = append(out, fmt.Sprintf("- %s: %v: %v", t.kernel, key, value), fmt.Sprintf("+ %s: %v: %v", t.kernel, key, got))
		}
	}
	for key, got := range t.have {
		if _, wanted := t.want[key]; !wanted {
			out = append(out, fmt.Sprintf("+ %s: %v: %v", t.kernel, key, got))
		}
	}
	slices.Sort(out)
	return out
}

// only is the map of settings.
type only struct {
	kernel     *ebpf.Map
	have, want settings
}

func newOnly(kernel *ebpf.Map, want settings) (step, error) {
	o := only{kernel: kernel, want: want}
	if err := kernel.Lookup(uint32(0), &o.have); err != nil {
		return nil, fmt.Errorf("read %s: %w", kernel, err)
	}
	return o, nil
}

func (o only) put() error {
	if o.have == o.want {
		return nil
	}
	if err := o.kernel.Put(uint32(0), o.want); err != nil {
		return fmt.Errorf("write %s: %w", o.kernel, err)
	}
	return nil
}

func (only) drop() error { return nil }

func (o only) differences() []string {
	if o.have == o.want {
		return nil
	}
	return []string{fmt.Sprintf("- %s: %+v", o.kernel, o.want), fmt.Sprintf("+ %s: %+v", o.kernel, o.have)}
}
