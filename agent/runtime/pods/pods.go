package pods

import (
	"context"
	"net/netip"
	"time"
)

// Sandbox is a pod as the container runtime knows it.
type Sandbox struct {
	// ID is the runtime's; a pod whose sandbox is made anew gets another one.
	ID string
	// UID, Namespace, Name, Labels and Annotations are those of the Kubernetes
	// object when the sandbox was made. The maps are not to be changed.
	UID, Namespace, Name string
	Labels, Annotations  map[string]string
	// Pid is the process that holds the pod's namespaces; 0 when it ended.
	Pid int
	// NetNS is the path of its network namespace. It is empty in the network
	// of the host, and when the namespace was taken away.
	NetNS string
	// Addrs are the addresses that the pod network gave it; none in the network
	// of the host.
	Addrs []netip.Addr
}

// Container is a container of a pod, init containers included.
type Container struct {
	ID string
	// Sandbox is the ID of its pod's sandbox.
	Sandbox string
	// Name is that in the pod's specification.
	Name string
	// Annotations are kubelet's. The map is not to be changed.
	Annotations map[string]string
	// Pid is its first process; 0 before there is one and after it ended.
	Pid int
	// CgroupsPath is what the runtime specification says: a path below the root
	// of each hierarchy, or "SLICE:PREFIX:NAME" where systemd makes cgroups.
	CgroupsPath string
}

// Kind says what happened to a pod or container.
type Kind uint8

// What an [Observer] is told. The runtime waits during PodStarted and
// ContainerStarting, so whatever the observer does then is in place before a
// process of the container runs.
const (
	// PodStarted: the sandbox has its network, and no container yet.
	PodStarted Kind = iota + 1
	// PodStopped: all containers ended; the network is about to be removed.
	PodStopped
	// PodRemoved: the sandbox is forgotten. It may come without PodStopped.
	PodRemoved
	// ContainerStarting: its first process exists, waits, and has no program yet.
	ContainerStarting
	// ContainerStopped: its first process ended.
	ContainerStopped
	// ContainerRemoved: the container is forgotten. It may come without
	// ContainerStopped.
	ContainerRemoved
	// ProcessAdded: a process was started in a running container, as kubectl
	// exec and exec probes do. It runs already when this is told.
	ProcessAdded
)

// String is the kind as logs have it.
func (k Kind) String() string {
	names := [...]string{"", "pod started", "pod stopped", "pod removed", "container starting", "container stopped",
		"container removed", "process added"}
	if int(k) < len(names) {
		return names[k]
	}
	return ""
}

// Event is one event.
type Event struct {
	Kind Kind
	// Pod is the pod, also for events of containers; with ProcessAdded, and
	// where the runtime has forgotten the pod, at most its ID is known.
	Pod Sandbox
	// Container is zero for events of pods. With ProcessAdded it has its ID and
	// the added process as Pid, and nothing else.
	Container Container
}

// Patience is how long the runtime waits for an [Observer] at most: long enough
// for changes of the kernel, and no harm to a pod that starts.
const Patience = time.Second

// Observer is told about pods and containers in the order in which things
// happen. Its methods may be called from different goroutines, one at a time
// except for ProcessAdded, and hold up the runtime until they return: they
// must return when ctx ends, which is after [Patience] at most.
type Observer interface {
	// Synchronize gives the whole state: what is not in it does not exist. It
	// comes first, and again whenever events may have been missed.
	Synchronize(ctx context.Context, pods []Sandbox, containers []Container)
	// Observe gives one event.
	Observe(ctx context.Context, event Event)
}
