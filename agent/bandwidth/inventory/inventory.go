package inventory

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/runtime/pods"
)

// Pod is a pod that has a sandbox on this node. Values are not changed after
// they were given out.
type Pod struct {
	// UID is the runtime's word: for static pods that is not the UID of the
	// object in the API, but its annotation kubernetes.io/config.hash.
	UID, Namespace, Name string
	// Labels and Annotations are those of the Kubernetes object when the
	// sandbox was made.
	Labels, Annotations map[string]string
	// HostNetwork tells that it has no link of its own.
	HostNetwork bool
	// Link is the index of the host's end of its veth pair, NetnsID what the
	// host calls its namespace. Link 0 means that it is not there, NetnsID -1
	// that there is none.
	Link, NetnsID int
	// Addr is its IPv4 address; invalid in the network of the host.
	Addr netip.Addr
	// Containers run or are about to, sorted by name.
	Containers []Container
}

// Container is a container that runs or is about to.
type Container struct {
	Name, ID string
	// Cgroup is the identity of its cgroup2 folder or 0 where there is none.
	Cgroup uint64
	// Ports are those that it declares.
	Ports []model.Port
}

// folders is what is used of [cgroup.Folders].
type folders interface {
	Identify(ctx context.Context, c cgroup.Container) (uint64, error)
	Gather(ctx context.Context, c cgroup.Container) error
	Drop(id string) error
	Keep(ids []string) error
}

// Inventory is a [pods.Observer]. Its methods may be called from any
// goroutine.
type Inventory struct {
	folders folders
	kernel  locator
	log     *slog.Logger
	report  func(error)

	mu        sync.Mutex
	sandboxes map[string]*sandbox // by ID
	view      []Pod
	revision  uint64
	barrier   barrier
	// subscribers get a note after each change.
	subscribers []chan struct{}
	// again wakes Run when something is to be looked for again.
	again chan struct{}
}

var _ pods.Observer = (*Inventory)(nil)

// New returns an empty inventory of the network namespace that the calling
// thread is in. report is told what about a pod cannot be found out, and nil
// when all can be.
func New(f *cgroup.Folders, log *slog.Logger, report func(error)) *Inventory {
	return newInventory(f, newKernel(), log, report)
}

func newInventory(f folders, k locator, log *slog.Logger, report func(error)) *Inventory {
	return &Inventory{
		folders: f, kernel: k, log: log, report: report,
		sandboxes: map[string]*sandbox{}, again: make(chan struct{}, 1), barrier: newBarrier(),
	}
}

// Pods returns all pods, sorted by namespace, name and UID, and the revision of
// this state. Revision 0 means that the runtime was not heard yet.
func (i *Inventory) Pods() ([]Pod, uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.view, i.revision
}

// Subscribe returns a channel that receives something after each change. It
// holds one note. From then on the runtime waits for [Inventory.Applied].
func (i *Inventory) Subscribe() <-chan struct{} {
	c := make(chan struct{}, 1)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.subscribers = append(i.subscribers, c)
	return c
}

// Applied says that everything up to that revision is in the kernel, or that
// nothing more can be done about it now. Then the runtime goes on.
func (i *Inventory) Applied(revision uint64) { i.barrier.reach(revision) }

// change brings the view up to date, tells subscribers if it differs and
// returns the revision to wait for; 0 if there is nobody to wait for. i.mu is
// held.
func (i *Inventory) change() uint64 {
	view := viewOf(i.sandboxes)
	if i.revision > 0 && samePods(i.view, view) {
		return 0
	}
	i.view = view
	i.revision++
	for _, c := range i.subscribers {
		notify(c)
	}
	if len(i.subscribers) == 0 {
		return 0
	}
	return i.revision
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
