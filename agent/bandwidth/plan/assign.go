package plan

import (
	"maps"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Assignment is what a plan must remember of the one before it: which class is
// whose, so that counters, queues and packets under way stay right while pods
// come and go, and who was promised what first. The zero value remembers
// nothing. It is never changed after [Make] returned it.
type Assignment struct {
	// Minors of leaves by whose they are; an inner class is one above that of
	// its owner. They are the same in all trees.
	Minors map[string]uint16 `json:"minors,omitempty"`
	// Pods by UID.
	Pods map[string]Assigned `json:"pods,omitempty"`
	// LastMinor and LastPod were given out most recently. Minors go round, so
	// that one which becomes free rests for long.
	LastMinor uint16 `json:"lastMinor,omitempty"`
	LastPod   uint32 `json:"lastPod,omitempty"`
}

// Assigned is what one pod has.
type Assigned struct {
	// Number is that of its [PodEntry] and, as it grows, its place in the order
	// of those who ask for guarantees.
	Number uint32 `json:"number"`
	// Granted are its guarantees on the first uplink.
	Granted [2]bitrate.Rate `json:"granted"`
}

// Equal tells that both remember the same.
func (a Assignment) Equal(b Assignment) bool {
	return a.LastMinor == b.LastMinor && a.LastPod == b.LastPod && maps.Equal(a.Minors, b.Minors) && maps.Equal(a.Pods, b.Pods)
}

// Keys of Minors. Names of containers have no slash.
func leafKey(uid string) string                 { return uid }
func restKey(uid string) string                 { return uid + "/rest" }
func containerKey(uid, name string) string      { return uid + "/container/" + name }
func localKey(uid string) string                { return uid + "/local" }
func localRestKey(uid string) string            { return uid + "/local/rest" }
func localContainerKey(uid, name string) string { return uid + "/local/container/" + name }

// step between the minors of two leaves; see [MinorHost].
const step = 16

const lastMinor = 0x10000 - step

// assigner makes the next assignment from the previous one.
type assigner struct {
	prev, next Assignment
	// used are minors that cannot be given out, given those that have been, and
	// numbers those of pods: a damaged file must not give two the same.
	used, given map[uint16]bool
	numbers     map[uint32]bool
}

func newAssigner(prev Assignment) *assigner {
	a := &assigner{prev: prev, used: map[uint16]bool{}, given: map[uint16]bool{}, numbers: map[uint32]bool{}, next: Assignment{
		Minors: map[string]uint16{}, Pods: map[string]Assigned{}, LastMinor: prev.LastMinor, LastPod: prev.LastPod,
	}}
	for _, p := range prev.Pods {
		a.next.LastPod = max(a.next.LastPod, p.Number)
	}
	// Those of pods that are gone are not given out again at once either: their
	// packets may still be under way.
	for _, minor := range prev.Minors {
		a.used[minor] = true
	}
	return a
}

// minor is that of the owner key; false when all are taken.
func (a *assigner) minor(key string) (uint16, bool) {
	if m, ok := a.next.Minors[key]; ok {
		return m, true
	}
	m, ok := a.prev.Minors[key]
	if !ok || m < MinorFirst || m%step != 0 || a.given[m] {
		if m, ok = a.free(); !ok {
			return 0, false
		}
		a.next.LastMinor = m
	}
	a.used[m], a.given[m] = true, true
	a.next.Minors[key] = m
	return m, true
}

func (a *assigner) free() (uint16, bool) {
	m := max(a.next.LastMinor&^(step-1), MinorHost)
	for range (lastMinor-int(MinorFirst))/step + 1 {
		if m += step; m < MinorFirst {
			m = MinorFirst
		}
		if !a.used[m] {
			return m, true
		}
	}
	return 0, false
}

// number counts the pod on from the latest one.
func (a *assigner) number(p model.Pod) {
	known, ok := a.prev.Pods[p.UID]
	if !ok || known.Number == 0 || a.numbers[known.Number] {
		a.next.LastPod++
		known.Number = a.next.LastPod
	}
	a.numbers[known.Number] = true
	a.next.Pods[p.UID] = known
}
