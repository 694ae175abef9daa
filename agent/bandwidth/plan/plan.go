package plan

import (
	"net/netip"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Major is the handle of every tree, tc's "6b65:".
const Major uint16 = 0x6b65

// Minors of classes that each tree has. The lowest four bits of a leaf's minor
// are what a queue of the uplink by priority sees of the packet later: 7
// (TC_PRIO_CONTROL) for control and names, 0 for all others. Inner classes never occur in
// a packet and may have any other minor.
const (
	MinorRoot    uint16 = 0x0001 // inner: all that crosses the uplink
	MinorControl uint16 = 0x0007
	MinorHost    uint16 = 0x0010 // host processes, and what nobody classified
	MinorNames   uint16 = 0x0017 // DNS, NTP and DHCP of host processes
	// MinorFirst is the first one of pods and containers.
	MinorFirst uint16 = 0x0020
)

// Plan is all that kedge wants to have in the kernel for bandwidth.
type Plan struct {
	Uplinks []Uplink
}

// Uplink is what belongs to one uplink: two trees and how packets get there.
type Uplink struct {
	Device string
	// Index is the device's; 0 while it is not there: then only pods are shaped.
	Index int
	// Only tells that all is this uplink's that routes do not give to another: of
	// several it is the first. Without it the routes are asked.
	Only bool
	// Trees by direction.
	Trees [2]Tree
	Pods  []PodEntry
	// Containers have a cgroup; those of pods and of the host's network.
	Containers []ContainerEntry
	// Ports stand in for containers without a cgroup.
	Ports   []PortEntry
	Reserve ReserveEntry
	Local   []netip.Prefix
	// Services are as in model.Node.
	Services []netip.Prefix
}

// Tree is an HTB queueing discipline (tc-htb(8)) on an IFB device.
type Tree struct {
	// Device is the IFB's name, for instance kedge-out0 or kedge-in0.
	Device string
	// Open tells that the uplink's rate is not known: host processes and pods
	// without limits do not pass the tree.
	Open bool
	// Classes are sorted so that a parent comes before its children.
	Classes []Class
}

// Class is an HTB class; one that is nobody's parent is a leaf and has a queue.
type Class struct {
	Minor uint16
	// Parent is 0 for a class directly below the queueing discipline.
	Parent uint16
	// Owner says what it is for: "root", "control", "names", "host",
	// "pod NAMESPACE/NAME", "container NAMESPACE/NAME/CONTAINER", "rest
	// NAMESPACE/NAME" for what no container of the pod is known to have sent,
	// and the last three with "local " in front for traffic that stays.
	Owner string
	// UID is that of the pod, if it is one's.
	UID string
	// Rate and Ceil in bits per second, never 0.
	Rate, Ceil bitrate.Rate
	// Priority is HTB's, 0 to 7, the lower borrows first.
	Priority uint8
	// Quantum, Burst and Cburst in bytes.
	Quantum, Burst, Cburst uint32
	// Queue is the length of a leaf's queue in bytes; 0 for inner classes.
	Queue uint32
}

// Target is where the traffic of a pod or container goes: leaves by direction,
// of the uplink and of what stays on the node. Minor 0 is no class: the packet
// passes by.
type Target struct {
	Class, Local [2]uint16
}

// PodEntry finds packets at the host's end of a pod's veth pair.
type PodEntry struct {
	// Pod numbers pods of this node from 1; entries of containers and ports name
	// it, so that a container only counts at its own pod.
	Pod     uint32
	UID     string
	Link    int
	NetnsID int
	Addr    netip.Addr
	Target  Target
}

// ContainerEntry finds packets by the cgroup of their socket.
type ContainerEntry struct {
	Cgroup uint64
	// Pod is that of the PodEntry; 0 for one in the network of the host.
	Pod    uint32
	Target Target
}

// PortEntry finds packets by a port of the pod, or of the host for Pod 0.
type PortEntry struct {
	Pod    uint32
	Port   model.Port
	Target Target
}

// ReserveEntry finds packets of host processes that belong to control.
type ReserveEntry struct {
	Ports   []model.Port
	Cgroups []uint64
}
