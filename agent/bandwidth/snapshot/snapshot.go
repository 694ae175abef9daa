package snapshot

import (
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Paths at a daemon's status socket and, under the same names, through the link.
const (
	// PathStatus answers with a [Node] as JSON.
	PathStatus = "/bandwidth/status"
	// PathPlan answers with the text of the plan.
	PathPlan = "/bandwidth/plan"
	// PathCheck compares the kernel as it is now with the plan: a line for each
	// difference, nothing where they are the same.
	PathCheck = "/bandwidth/check"
)

// Paths are all of them.
var Paths = []string{PathStatus, PathPlan, PathCheck}

// QueryNode names the node of which a server is asked.
const QueryNode = "node"

// Node is one node at one moment.
type Node struct {
	Node string `json:"node"`
	// Time is when the counters were read, by the clock of the node.
	Time time.Time `json:"time"`
	// Attribution is how containers are told apart: "cgroup" or "ports".
	Attribution string `json:"attribution,omitempty"`
	// Trouble is what keeps the node from doing what is wanted.
	Trouble []string `json:"trouble,omitempty"`
	Uplinks []Uplink `json:"uplinks"`
	// Pods are sorted by namespace and name.
	Pods []Pod `json:"pods"`
	// Delays are from when the node saw a change until it was in the kernel.
	Delays *Delays `json:"delays,omitempty"`
	// Mended is how often something was put right that somebody else had changed.
	Mended uint64 `json:"mended,omitempty"`
}

// Delays are in nanoseconds. Sum is that of all Count; the others are about the
// latest changes only.
type Delays struct {
	Count int           `json:"count"`
	Sum   time.Duration `json:"sum"`
	Last  time.Duration `json:"last"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

// Both is something that both directions have.
type Both[T any] struct {
	Egress  T `json:"egress"`
	Ingress T `json:"ingress"`
}

// At is that of one direction.
func (b *Both[T]) At(d model.Direction) *T {
	if d == model.Egress {
		return &b.Egress
	}
	return &b.Ingress
}

// Uplink is a link to the outside.
type Uplink struct {
	Device string `json:"device"`
	// Index is the device's; 0 while it is not there.
	Index      int        `json:"index"`
	Directions Both[Line] `json:"directions"`
	// Classes are the root, control, names and host.
	Classes []Class `json:"classes"`
}

// Line is one direction of an uplink.
type Line struct {
	// Rate is what it carries; 0 is not known, and then nothing is promised.
	Rate bitrate.Rate `json:"rate,omitempty"`
	// Reserve is guaranteed to the control class.
	Reserve bitrate.Rate `json:"reserve,omitempty"`
	// Capacity can be promised to pods, Promised is.
	Capacity bitrate.Rate `json:"capacity,omitempty"`
	Promised bitrate.Rate `json:"promised,omitempty"`
}

// Limit is what one direction of a pod or container is to get; 0 is none.
type Limit struct {
	Min bitrate.Rate `json:"min,omitempty"`
	Max bitrate.Rate `json:"max,omitempty"`
	// MinFrom and MaxFrom say where these come from.
	MinFrom string `json:"minFrom,omitempty"`
	MaxFrom string `json:"maxFrom,omitempty"`
	// Granted is the guarantee that holds; of a pod only.
	Granted bitrate.Rate `json:"granted,omitempty"`
}

// Pod is a pod on the node.
type Pod struct {
	UID          string      `json:"uid"`
	Namespace    string      `json:"namespace"`
	Name         string      `json:"name"`
	HostNetwork  bool        `json:"hostNetwork,omitempty"`
	Priority     int         `json:"priority"`
	PriorityFrom string      `json:"priorityFrom,omitempty"`
	Limits       Both[Limit] `json:"limits"`
	// Classes have all of the pod's traffic; Rest is the part of it that belongs
	// to no container with a class of its own.
	Classes    []Class     `json:"classes,omitempty"`
	Rest       []Class     `json:"rest,omitempty"`
	Containers []Container `json:"containers,omitempty"`
	// Problems are what a person should mend: what of the pod's wishes counts for
	// nothing, and refused guarantees.
	Problems []Problem `json:"problems,omitempty"`
}

// Container is one with limits of its own.
type Container struct {
	Name    string      `json:"name"`
	Limits  Both[Limit] `json:"limits"`
	Classes []Class     `json:"classes,omitempty"`
	// Attribution is how its traffic is found: "cgroup", "ports", or empty while
	// it does not run or cannot be told from the rest of the pod.
	Attribution string `json:"attribution,omitempty"`
}

// Problem is one thing for a person.
type Problem struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Class is a class in the kernel.
type Class struct {
	// Owner is "root", "control", "names", "host", or whose it is.
	Owner     string `json:"owner"`
	Uplink    string `json:"uplink"`
	Direction string `json:"direction"`
	// Local tells that it is for what stays on the node.
	Local bool `json:"local,omitempty"`
	// Device is the IFB device, Handle the class as tc writes it.
	Device string `json:"device"`
	Handle string `json:"handle"`
	// Rate is what it gets for sure, Ceil what it never exceeds.
	Rate bitrate.Rate `json:"rate"`
	Ceil bitrate.Rate `json:"ceil"`
	// Queue is how many bytes can wait in a leaf.
	Queue    uint32   `json:"queue,omitempty"`
	Counters Counters `json:"counters"`
}

// Counters of a class. Those of a class with children are the sums of theirs.
type Counters struct {
	Bytes   uint64 `json:"bytes"`
	Packets uint64 `json:"packets"`
	// Drops are packets for which the queue had no room, Overlimits how often one
	// had to wait.
	Drops      uint64 `json:"drops"`
	Overlimits uint64 `json:"overlimits"`
	// Backlog is how many bytes wait now.
	Backlog uint64 `json:"backlog"`
}
