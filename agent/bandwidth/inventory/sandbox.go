package inventory

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/hostports"
	"github.com/kedge-io/kedge/agent/runtime/pods"
)

// sandbox is a pod with where it is. Only what holds the inventory's lock
// touches it.
type sandbox struct {
	pod        pods.Sandbox
	place      place
	placeErr   error
	containers map[string]*container // by ID
}

type container struct {
	c      pods.Container
	cgroup uint64
	err    error
	ports  []model.Port
}

func newSandbox(pod pods.Sandbox) *sandbox {
	return &sandbox{pod: pod, place: nowhere, containers: map[string]*container{}}
}

func newContainer(c pods.Container) *container {
	return &container{c: c, ports: portsOf(c.Annotations)}
}

// lives tells whether anything of the pod can still send.
func (s *sandbox) lives() bool {
	return s.pod.Pid > 0 || s.pod.NetNS != "" || len(s.containers) > 0
}

// holder is a process that is in the pod's network namespace; 0 for none.
func (s *sandbox) holder() int {
	if s.pod.Pid > 0 {
		return s.pod.Pid
	}
	for _, id := range slices.Sorted(maps.Keys(s.containers)) {
		if pid := s.containers[id].c.Pid; pid > 0 {
			return pid
		}
	}
	return 0
}

func (s *sandbox) view() Pod {
	p := Pod{
		UID: s.pod.UID, Namespace: s.pod.Namespace, Name: s.pod.Name, Labels: s.pod.Labels, Annotations: s.pod.Annotations,
		HostNetwork: s.place.hostNetwork, Link: s.place.link, NetnsID: s.place.netnsID,
	}
	if !p.HostNetwork {
		p.Addr = firstIPv4(s.pod.Addrs)
	}
	for _, c := range s.containers {
		p.Containers = append(p.Containers, Container{Name: c.c.Name, ID: c.c.ID, Cgroup: c.cgroup, Ports: c.ports})
	}
	slices.SortFunc(p.Containers, func(a, b Container) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return p
}

// viewOf makes the pods that are given out. A pod whose sandbox was made anew
// has two for a moment: the one that has a process counts.
func viewOf(all map[string]*sandbox) []Pod {
	chosen := map[string]*sandbox{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		s := all[id]
		if other, ok := chosen[s.pod.UID]; !s.lives() || ok && other.pod.Pid > 0 && s.pod.Pid == 0 {
			continue
		}
		chosen[s.pod.UID] = s
	}
	view := []Pod{}
	for _, s := range chosen {
		view = append(view, s.view())
	}
	slices.SortFunc(view, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return view
}

func samePods(a, b []Pod) bool { return reflect.DeepEqual(a, b) }

func firstIPv4(addrs []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// portsOf reads the ports that kubelet wrote down for a container.
func portsOf(annotations map[string]string) []model.Port {
	var ports []model.Port
	for _, p := range hostports.Declared([]map[string]string{annotations}) {
		protocol := uint8(unix.IPPROTO_TCP)
		if p.Protocol == hostports.UDP {
			protocol = unix.IPPROTO_UDP
		}
		ports = append(ports, model.Port{Protocol: protocol, Number: p.Number})
	}
	return ports
}
