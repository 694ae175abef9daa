package model

import (
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/internal/bitrate"
)

// Direction is seen from the pod, and for host processes from the node.
type Direction uint8

// The directions of traffic.
const (
	Egress Direction = iota
	Ingress
)

// Directions are both, in the order of arrays indexed by [Direction].
var Directions = [2]Direction{Egress, Ingress}

// Limit is what one direction of a pod or container gets.
type Limit struct {
	// Min is the guarantee, Max the ceiling. Zero is none.
	Min, Max bitrate.Rate
}

// Limits has one limit for each [Direction].
type Limits [2]Limit

// Priority orders who borrows first, 0 to 6; higher goes first.
type Priority uint8

// Bounds of [Priority] and what a pod has of which nobody says anything.
const (
	MinPriority     Priority = 0
	MaxPriority     Priority = 6
	DefaultPriority Priority = 3
)

// Node is all that is wanted on a node.
type Node struct {
	// Uplinks begin with the one of the default route. One without rates is
	// always there, so that ceilings hold where no uplink is known.
	Uplinks []Uplink
	Reserve Reserve
	// Local are the addresses that traffic of pods reaches without any uplink:
	// the node's pod range and the cluster addresses that it answers itself.
	Local []netip.Prefix
	// Services are the addresses of services, behind which there may be pods of
	// this node or of others.
	Services []netip.Prefix
	Pods     []Pod
}

// Uplink is a link over which the node reaches others.
type Uplink struct {
	// Device is its name, Index that of the kernel; 0 while it is not there.
	Device string
	Index  int
	// Rates are what the line carries in bits per second; 0 is not known.
	Rates [2]bitrate.Rate
	// Reserve is what the control class is guaranteed; 0 leaves it to the plan.
	Reserve [2]bitrate.Rate
}

// Reserve is who belongs to the control class besides the link's control lane,
// DNS and NTP.
type Reserve struct {
	// Ports are ports of host processes, local or remote.
	Ports []Port
	// Cgroups are identities of cgroup2 folders (inode numbers) of host processes.
	Cgroups []uint64
}

// Port is a transport protocol (unix.IPPROTO_TCP or IPPROTO_UDP) and a number.
type Port struct {
	Protocol uint8
	Number   uint16
}

// Pod is a pod on the node.
type Pod struct {
	UID, Namespace, Name string
	// HostNetwork tells that it has no link of its own.
	HostNetwork bool
	// Link is the index of the host's end of its veth pair, NetnsID what the
	// host calls its namespace (see ip-netns(8), "set"); -1 for none.
	Link, NetnsID int
	// Addr is its IPv4 address; invalid in the network of the host.
	Addr       netip.Addr
	Limits     Limits
	Priority   Priority
	Containers []Container
}

// Container is a container that runs or is about to. Init containers too.
type Container struct {
	Name string
	// ID is the runtime's, Cgroup the identity of its cgroup2 folder or 0 where
	// the kernel has none: then Ports tell its traffic apart.
	ID     string
	Cgroup uint64
	Ports  []Port
	Limits Limits
}

// Guarantee is what the pod is to be guaranteed: its own or, where that is more,
// what its containers are guaranteed together; never more than its ceiling. A
// container that ends and its successor of the same name count once.
func (p Pod) Guarantee(d Direction) bitrate.Rate {
	var sum bitrate.Rate
	for i, c := range p.Containers {
		if !slices.ContainsFunc(p.Containers[:i], func(o Container) bool { return o.Name == c.Name }) {
			sum += c.Limits[d].Min
		}
	}
	want := max(p.Limits[d].Min, sum)
	if limit := p.Limits[d].Max; limit > 0 {
		want = min(want, limit)
	}
	return want
}

// Limited tells that the pod or one of its containers has a ceiling.
func (p Pod) Limited(d Direction) bool {
	for _, c := range p.Containers {
		if c.Limits[d].Max > 0 {
			return true
		}
	}
	return p.Limits[d].Max > 0
}

// String is "egress" or "ingress".
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}
