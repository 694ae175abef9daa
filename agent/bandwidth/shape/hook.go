package shape

import (
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// Hook is a place where a filter looks at packets.
type Hook uint8

// The hooks. Those of pods are at the host's end of the pod's link, where what
// leaves the pod comes in.
const (
	PodEgress Hook = iota
	PodIngress
	HostEgress
	HostIngress
)

// Hooks are all, in their order.
var Hooks = [4]Hook{PodEgress, PodIngress, HostEgress, HostIngress}

func (h Hook) String() string {
	return [...]string{"pod-egress", "pod-ingress", "host-egress", "host-ingress"}[h]
}

// Classifier brings the programs that find a packet's class.
type Classifier interface {
	// Load makes programs with empty tables.
	Load() (Set, error)
	// Adopt finds the tables of programs that are attached to filters of one
	// uplink, by the kernel's numbers. Its error means that they are not of this
	// version, and new ones are loaded.
	Adopt(programs []uint32) (Set, error)
}

// Set are the programs of one uplink with the tables that they share. A program
// of type sched_cls returns 0 for a packet that passes by; for any other the
// filter's action redirects it to the IFB, and the program has written its class
// to skb->priority.
type Set interface {
	// Program is a file descriptor for attaching and the kernel's number of the
	// program.
	Program(h Hook) (fd int, id uint32)
	// Update makes the tables those of u: first what is new, then what goes.
	Update(u plan.Uplink) error
	// Differences are lines about tables that are not those of u.
	Differences(u plan.Uplink) ([]string, error)
	// Close gives back descriptors; what is attached stays.
	Close() error
}
