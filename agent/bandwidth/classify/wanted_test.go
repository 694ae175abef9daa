package classify

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

func TestSizesOfTheTablesAreThoseOfTheirTypes(t *testing.T) {
	specs := mapSpecs()
	for name, sizes := range map[string][2]any{
		mapSettings: {uint32(0), settings{}}, mapLinks: {uint32(0), linkValue{}}, mapCgroups: {uint64(0), cgroupValue{}},
		mapPorts: {portKey{}, portValue{}}, mapReserve: {uint32(0), uint32(0)}, mapLocal: {prefix{}, uint32(0)},
	} {
		if k, v := binary.Size(sizes[0]), binary.Size(sizes[1]); int(specs[name].KeySize) != k || int(specs[name].ValueSize) != v {
			t.Errorf("%s has %d and %d bytes, the types %d and %d", name, specs[name].KeySize, specs[name].ValueSize, k, v)
		}
		if len(name) > 15 {
			t.Errorf("%s is too long", name)
		}
	}
}

func TestAContainerIsNeverOfTheReserve(t *testing.T) {
	got, err := tablesOf(plan.Uplink{
		Containers: []plan.ContainerEntry{{Cgroup: 7, Target: plan.Target{Class: [2]uint16{0x20, 0x30}}}, {Cgroup: 0}},
		Reserve:    plan.ReserveEntry{Cgroups: []uint64{7, 8, 0}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint64]cgroupValue{7: {Targets: [2]target{0x20, 0x30}}, 8: {Kind: ofReserve}}
	if len(got.cgroups) != len(want) || got.cgroups[7] != want[7] || got.cgroups[8] != want[8] {
		t.Errorf("got %v, want %v", got.cgroups, want)
	}
}

func TestLinksKnowWhetherToLookForReceivers(t *testing.T) {
	got, err := tablesOf(plan.Uplink{
		Pods: []plan.PodEntry{{Pod: 1, Link: 10, NetnsID: 0}, {Pod: 2, Link: 11, NetnsID: -1}, {Pod: 3, Link: 12}, {Pod: 4}},
		Containers: []plan.ContainerEntry{
			{Cgroup: 1, Pod: 1}, {Cgroup: 2, Pod: 2},
		},
		Ports: []plan.PortEntry{{Pod: 2, Port: model.Port{Protocol: 17, Number: 53}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for link, want := range map[uint32]uint32{10: sendersKnown | receiversKnown, 11: sendersKnown | portsKnown, 12: 0} {
		if v := got.links[link]; v.Flags != want {
			t.Errorf("link %d has flags %b, want %b", link, v.Flags, want)
		}
	}
	if len(got.links) != 3 || got.settings.Flags != askRoutes {
		t.Errorf("%v, %+v", got.links, got.settings)
	}
}

func TestOverfullTablesAreAllNamed(t *testing.T) {
	var u plan.Uplink
	for i := range MaxContainers + MaxReserve + 1 {
		u.Containers = append(u.Containers, plan.ContainerEntry{Cgroup: uint64(i + 1)})
	}
	for i := range MaxPorts + 1 {
		u.Ports = append(u.Ports, plan.PortEntry{Port: model.Port{Number: uint16(i)}})
	}
	_, err := tablesOf(u)
	if err == nil || !strings.Contains(err.Error(), "4353 cgroups") || !strings.Contains(err.Error(), "8193 declared ports") {
		t.Error(err)
	}
}

func TestNamesOfProgramsHoldTheirVersion(t *testing.T) {
	names := map[string]bool{}
	for _, a := range []Abilities{{}, {Senders: true}, {Senders: true, Receivers: true}, {Senders: true, Receivers: true, layout: layout{cast: 1}}} {
		for range 2 {
			specs, err := programs(a)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range specs {
				names[s.Name] = true
				if len(s.Name) != 15 || !strings.HasPrefix(s.Name, "kedge_") {
					t.Errorf("name %q", s.Name)
				}
			}
		}
	}
	if len(names) != 4*hooks {
		t.Errorf("%d names: %v", len(names), names)
	}
}

func TestProgramsFitKernelsBefore52(t *testing.T) {
	const most = 4096 // BPF_MAXINSNS of those kernels
	specs, err := programs(Abilities{Senders: true, Receivers: true, Routes: true, layout: layout{cast: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		if n := s.Instructions.Size() / asm.InstructionSize; n > most {
			t.Errorf("%s has %d instructions", s.Name, n)
		}
	}
}
