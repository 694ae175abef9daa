package edgefw

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
)

// Pod is a pod with addresses of its own that runs on this node, or is about to.
type Pod struct {
	// UID is the runtime's word: that of the object in the API, or for static
	// pods its annotation kubernetes.io/config.hash.
	UID       string       `json:"uid"`
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	Addrs     []netip.Addr `json:"addrs"`
}

// podTable is what runs, by the runtime's word for sandboxes.
type podTable struct {
	mu       sync.Mutex
	pods     map[string]Pod
	revision uint64
	// inForce is the latest revision that the kernel has, and rules of pods with
	// it; moved is closed and replaced at each step.
	inForce uint64
	settled func(p Pod) bool
	moved   chan struct{}
}

func newPodTable(known map[string]Pod) *podTable {
	if known == nil {
		known = map[string]Pod{}
	}
	return &podTable{pods: known, moved: make(chan struct{}), settled: func(Pod) bool { return true }}
}

// all returns the pods, sorted, and the revision of this state.
func (t *podTable) all() ([]Pod, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Pod
	for _, p := range t.pods {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID), slices.CompareFunc(a.Addrs, b.Addrs, netip.Addr.Compare))
	})
	return out, t.revision
}

// byID is a copy of the table.
func (t *podTable) byID() map[string]Pod {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]Pod, len(t.pods))
	for id, p := range t.pods {
		out[id] = p
	}
	return out
}

// put adds a pod and returns the revision to wait for. Whoever had one of its
// addresses before has it no more.
func (t *podTable) put(sandbox string, p Pod) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, other := range t.pods {
		other.Addrs = slices.DeleteFunc(slices.Clone(other.Addrs), func(a netip.Addr) bool { return slices.Contains(p.Addrs, a) })
		t.pods[id] = other
	}
	t.pods[sandbox] = p
	t.revision++
	return t.revision
}

// drop removes a pod, and tells whether it was there.
func (t *podTable) drop(sandbox string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.pods[sandbox]
	delete(t.pods, sandbox)
	if ok {
		t.revision++
	}
	return ok
}

// replace sets the whole table.
func (t *podTable) replace(pods map[string]Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods = pods
	t.revision++
}

// reach says that the kernel has everything up to that revision, and which pods
// have all their rules.
func (t *podTable) reach(revision uint64, settled func(p Pod) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inForce, t.settled = max(t.inForce, revision), settled
	close(t.moved)
	t.moved = make(chan struct{})
}

// await waits until the kernel has the revision and all rules of p, or until ctx
// ends. It returns false in the latter case.
func (t *podTable) await(ctx context.Context, revision uint64, p Pod) bool {
	for {
		t.mu.Lock()
		done, moved := t.inForce >= revision && t.settled(p), t.moved
		t.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}
