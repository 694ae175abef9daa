package plan

import (
	"cmp"
	"slices"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
)

// entries adds how the packets of a pod are found.
func (m *maker) entries(u *Uplink, p model.Pod, to targets) {
	number := m.assign.next.Pods[p.UID].Number
	if p.HostNetwork {
		number = 0
	} else if p.Link <= 0 {
		return // has no network yet, or no longer
	} else {
		// Also of one that nothing limits: its link is prepared for a limit that
		// comes later.
		u.Pods = append(u.Pods, PodEntry{Pod: number, UID: p.UID, Link: p.Link, NetnsID: p.NetnsID, Addr: p.Addr, Target: to.pod})
	}
	for _, c := range p.Containers {
		own := to.containers[c.Name]
		if own == nil && number != 0 {
			continue // that of the pod
		}
		target := to.pod
		if own != nil {
			target = own.over(to.pod)
		}
		if target != (Target{}) {
			u.container(number, c, target)
		}
	}
}

// over is t with what it lacks taken from the pod's.
func (t Target) over(pod Target) Target {
	for _, d := range model.Directions {
		t.Class[d] = cmp.Or(t.Class[d], pod.Class[d])
		t.Local[d] = cmp.Or(t.Local[d], pod.Local[d])
	}
	return t
}

// Bounds of declared ports, of one container and of all: whoever declares a
// thousand must not take the table's room from others, nor the time of a plan.
// What is beyond is the pod's.
const (
	mostPorts = 128
	allPorts  = 4096
)

// container adds one by its cgroup or, where it has none, by its ports. Of two
// that name the same the first has it.
func (u *Uplink) container(pod uint32, c model.Container, target Target) {
	if c.Cgroup != 0 {
		if !slices.ContainsFunc(u.Containers, func(e ContainerEntry) bool { return e.Cgroup == c.Cgroup }) {
			u.Containers = append(u.Containers, ContainerEntry{Cgroup: c.Cgroup, Pod: pod, Target: target})
		}
		return
	}
	for _, port := range c.Ports[:min(len(c.Ports), mostPorts, allPorts-len(u.Ports))] {
		if !slices.ContainsFunc(u.Ports, func(e PortEntry) bool { return e.Pod == pod && e.Port == port }) {
			u.Ports = append(u.Ports, PortEntry{Pod: pod, Port: port, Target: target})
		}
	}
}

// reserve is the entry in an order of its own, so that the order of flags does
// not matter.
func reserve(r model.Reserve) ReserveEntry {
	ports := slices.SortedFunc(slices.Values(r.Ports), func(a, b model.Port) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
	})
	return ReserveEntry{Ports: slices.Compact(ports), Cgroups: slices.Compact(slices.Sorted(slices.Values(r.Cgroups)))}
}
