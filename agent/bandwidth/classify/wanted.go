package classify

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// builtin are the remote ports of what keeps a node in its cluster: names, time
// and addresses.
var builtin = []model.Port{
	{Protocol: unix.IPPROTO_UDP, Number: 53}, {Protocol: unix.IPPROTO_TCP, Number: 53}, {Protocol: unix.IPPROTO_TCP, Number: 853},
	{Protocol: unix.IPPROTO_UDP, Number: 123},
	{Protocol: unix.IPPROTO_UDP, Number: 67}, {Protocol: unix.IPPROTO_UDP, Number: 547},
}

// tables are what the maps of a set hold.
type tables struct {
	settings settings
	links    map[uint32]linkValue
	cgroups  map[uint64]cgroupValue
	ports    map[portKey]portValue
	reserve  map[uint32]uint32
	local    map[prefix]uint32
}

func noTables() tables {
	return tables{
		links: map[uint32]linkValue{}, cgroups: map[uint64]cgroupValue{}, ports: map[portKey]portValue{},
		reserve: map[uint32]uint32{}, local: map[prefix]uint32{},
	}
}

// tablesOf is what an uplink of a plan needs, and an error if that is more than
// the tables hold.
func tablesOf(u plan.Uplink) (tables, error) {
	t := noTables()
	known := t.addContainers(u)
	for _, p := range u.Pods {
		if p.Link > 0 {
			t.links[uint32(p.Link)] = linkOf(p, known[p.Pod])
		}
	}
	t.addReserve(u.Reserve)
	for _, p := range u.Local {
		if p = p.Masked(); p.Addr().Is4() {
			t.local[prefix{Bits: uint32(p.Bits()), Addr: p.Addr().As4()}] = whose(p, u.Services)
		}
	}
	for _, p := range u.Services {
		if p = p.Masked(); p.Addr().Is4() {
			t.local[prefix{Bits: uint32(p.Bits()), Addr: p.Addr().As4()}] = ofServices
		}
	}
	t.settings = settingsOf(u, known[0])
	return t, t.check(u.Device)
}

// whose says who has a local prefix. A single address is the host's own: what
// comes to it over an uplink may be for a process of the host.
func whose(p netip.Prefix, services []netip.Prefix) uint32 {
	switch {
	case !p.IsSingleIP():
		return ofPods
	case slices.ContainsFunc(services, func(s netip.Prefix) bool { return s.Contains(p.Addr()) }):
		return ofOwnServices
	}
	return ofHost
}

// addContainers returns by the numbers of pods which flags of linkValue hold.
func (t tables) addContainers(u plan.Uplink) map[uint32]uint32 {
	known := map[uint32]uint32{}
	for _, c := range u.Containers {
		if c.Cgroup != 0 {
			t.cgroups[c.Cgroup] = cgroupValue{Pod: c.Pod, Kind: ofContainer, Targets: targetsOf(c.Target)}
			known[c.Pod] |= sendersKnown | receiversKnown
		}
	}
	for _, p := range u.Ports {
		t.ports[portKey{Pod: p.Pod, Port: portNumber(p.Port.Protocol, p.Port.Number)}] = targetsOf(p.Target)
		known[p.Pod] |= portsKnown
	}
	return known
}

func (t tables) addReserve(r plan.ReserveEntry) {
	for _, id := range r.Cgroups {
		// A container stays one, whatever else somebody says of its cgroup.
		if _, taken := t.cgroups[id]; !taken && id != 0 {
			t.cgroups[id] = cgroupValue{Kind: ofReserve}
		}
	}
	for _, p := range builtin {
		t.reserve[portNumber(p.Protocol, p.Number)] = reserveRemote | reserveNames
	}
	for _, p := range r.Ports {
		t.reserve[portNumber(p.Protocol, p.Number)] = reserveRemote | reserveLocal
	}
}

func linkOf(p plan.PodEntry, flags uint32) linkValue {
	v := linkValue{Pod: p.Pod, Flags: flags, Targets: targetsOf(p.Target), NetnsID: uint32(max(p.NetnsID, 0))}
	if p.NetnsID < 0 {
		v.Flags &^= receiversKnown
	}
	return v
}

func settingsOf(u plan.Uplink, known uint32) settings {
	s := settings{Index: uint32(max(u.Index, 0))}
	if !u.Only {
		s.Flags |= askRoutes
	}
	if known&portsKnown != 0 {
		s.Flags |= hostPorts
	}
	for _, d := range model.Directions {
		if !u.Trees[d].Open {
			s.Host[d], s.Control[d], s.Names[d] = uint32(plan.MinorHost), uint32(plan.MinorControl), uint32(plan.MinorNames)
		}
	}
	return s
}

func targetsOf(t plan.Target) (out [2]target) {
	for _, d := range model.Directions {
		out[d] = newTarget(t.Class[d], t.Local[d])
	}
	return out
}

// check names each table that would be too full.
func (t tables) check(device string) error {
	var errs []error
	for _, table := range []struct {
		what     string
		n, limit int
	}{
		{"pods", len(t.links), MaxPods},
		{"cgroups of containers and of the reserve", len(t.cgroups), MaxContainers + MaxReserve},
		{"declared ports of containers without a cgroup", len(t.ports), MaxPorts},
		{"reserve ports", len(t.reserve), MaxReserve},
		{"local prefixes", len(t.local), MaxLocal},
	} {
		if table.n > table.limit {
			errs = append(errs, fmt.Errorf("uplink %s: %d %s, but its table holds %d", device, table.n, table.what, table.limit))
		}
	}
	return errors.Join(errs...)
}

func (p prefix) String() string {
	return netip.PrefixFrom(netip.AddrFrom4(p.Addr), int(p.Bits)).String()
}
