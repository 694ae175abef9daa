package inventory

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/runtime"
)

// Pod is a pod that has a sandbox on this node. Values are not changed after
// they were given out.
type Pod struct {
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

// Inventory is a [runtime.Observer]. Its methods may be called from any
// goroutine.
type Inventory struct {
	folders *cgroup.Folders
	log     *slog.Logger
	report  func(error)

	mu       sync.Mutex
	revision uint64
	pods     []Pod
}

var _ runtime.Observer = (*Inventory)(nil)

// New returns an empty inventory. report is told when something about a pod
// cannot be found out, and nil when all can again.
func New(folders *cgroup.Folders, log *slog.Logger, report func(error)) *Inventory {
	return &Inventory{folders: folders, log: log, report: report}
}

// Pods returns all pods, sorted by namespace, name and UID, and the revision of
// this state. Revision 0 means that the runtime was not heard yet.
func (i *Inventory) Pods() ([]Pod, uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.pods, i.revision
}

// Subscribe returns a channel that receives something after each change. It
// holds one note.
func (i *Inventory) Subscribe() <-chan struct{} { return make(chan struct{}, 1) }

// Applied says that everything up to that revision is in the kernel, or that
// nothing more can be done about it now. Only then the runtime goes on.
func (i *Inventory) Applied(revision uint64) {}

// Run follows links that vanish, and looks again after what could not be found
// out, until ctx ends.
func (i *Inventory) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Synchronize replaces everything that was known.
func (i *Inventory) Synchronize(ctx context.Context, pods []runtime.PodSandbox, containers []runtime.PodContainer) {
}

// Observe takes in one event.
func (i *Inventory) Observe(ctx context.Context, e runtime.PodEvent) {}
