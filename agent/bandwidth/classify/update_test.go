//go:build namespace

package classify

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// abilities are those of this kernel, which must have all.
func abilities(t testing.TB) Abilities {
	t.Helper()
	a, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Reasons) > 0 {
		t.Fatal(a.Reasons)
	}
	return a
}

func load(t testing.TB, a Abilities) *Set {
	t.Helper()
	s, err := Load(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func update(t testing.TB, s *Set, u plan.Uplink) {
	t.Helper()
	if err := s.Update(u); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Differences(u); err != nil || len(d) > 0 {
		t.Fatalf("after the update: %v, %v", d, err)
	}
}

// sampleUplink has two pods, the first with a container.
func sampleUplink() plan.Uplink {
	return plan.Uplink{
		Device: "eth0", Index: 2, Only: true,
		Pods: []plan.PodEntry{
			{Pod: 1, Link: 10, NetnsID: 3, Target: plan.Target{Class: [2]uint16{0x40, 0x40}, Local: [2]uint16{0x50, 0x50}}},
			{Pod: 2, Link: 11, NetnsID: -1, Target: plan.Target{Class: [2]uint16{0x60, 0x60}}},
		},
		Containers: []plan.ContainerEntry{{Cgroup: 77, Pod: 1, Target: plan.Target{Class: [2]uint16{0x70, 0x70}}}},
		Ports:      []plan.PortEntry{{Pod: 2, Port: model.Port{Protocol: 6, Number: 80}, Target: plan.Target{Class: [2]uint16{0x80, 0x80}}}},
		Reserve:    plan.ReserveEntry{Ports: []model.Port{{Protocol: 6, Number: 179}}, Cgroups: []uint64{78}},
		Local:      []netip.Prefix{netip.MustParsePrefix("10.42.0.0/24"), netip.MustParsePrefix("fd00::/64")},
	}
}

func TestUpdateWritesWhatDiffersAndDeletesWhatIsStale(t *testing.T) {
	s := load(t, abilities(t))
	if d, err := s.Differences(sampleUplink()); err != nil || len(d) < 8 {
		t.Fatalf("a new set has all entries missing: %v, %v", d, err)
	}
	update(t, s, sampleUplink())
	update(t, s, sampleUplink())
	u := sampleUplink()
	u.Pods, u.Containers, u.Ports, u.Reserve, u.Local = u.Pods[:1], nil, nil, plan.ReserveEntry{}, nil
	u.Pods[0].Target.Class[0] = 0x90
	d, err := s.Differences(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- Hash(kedge_links", "+ Hash(kedge_links", "+ Hash(kedge_cgroups", "+ LPMTrie(kedge_local"} {
		if !slices.ContainsFunc(d, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no %q in %q", want, d)
		}
	}
	update(t, s, u)
	update(t, s, plan.Uplink{})
}

func TestUpdateRefusesMoreThanTheTablesHold(t *testing.T) {
	s := load(t, abilities(t))
	update(t, s, sampleUplink())
	u := plan.Uplink{Device: "eth0"}
	for i := range MaxPods + 1 {
		u.Pods = append(u.Pods, plan.PodEntry{Pod: uint32(i + 1), Link: i + 1})
	}
	err := s.Update(u)
	if want := fmt.Sprintf("%d pods, but its table holds %d", MaxPods+1, MaxPods); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if d, err := s.Differences(sampleUplink()); err != nil || len(d) > 0 {
		t.Errorf("a refused update changed something: %v, %v", d, err)
	}
	// Full tables can be replaced by others that are full as well.
	u.Pods = u.Pods[:MaxPods]
	update(t, s, u)
	for i := range u.Pods {
		u.Pods[i].Link += MaxPods
	}
	update(t, s, u)
}

func TestAdoptFindsProgramsAndTables(t *testing.T) {
	a := abilities(t)
	s := load(t, a)
	update(t, s, sampleUplink())
	for _, ids := range [][]uint32{{s.ID(PodIngress)}, {1 << 30, s.ID(HostEgress), s.ID(PodEgress)}} {
		adopted, err := Adopt(a, ids...)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := adopted.Differences(sampleUplink()); err != nil || len(d) > 0 {
			t.Errorf("adopted: %v, %v", d, err)
		}
		for _, h := range Hooks {
			known := h == PodIngress == (len(ids) == 1)
			if h == HostIngress {
				known = false
			}
			if (adopted.ID(h) == s.ID(h)) != known || adopted.FD(h) <= 0 {
				t.Errorf("%s: program %d, loaded was %d", h, adopted.ID(h), s.ID(h))
			}
		}
		adopted.Close()
	}
}

func TestAdoptLeavesOutProgramsOfAnotherSet(t *testing.T) {
	a := abilities(t)
	one, two := load(t, a), load(t, a)
	adopted, err := Adopt(a, one.ID(PodEgress), two.ID(PodIngress), two.ID(PodEgress))
	if err != nil {
		t.Fatal(err)
	}
	defer adopted.Close()
	if adopted.ID(PodEgress) != one.ID(PodEgress) || adopted.ID(PodIngress) == two.ID(PodIngress) {
		t.Error("programs of two sets are mixed")
	}
}

func TestAdoptRefusesForeignPrograms(t *testing.T) {
	a := abilities(t)
	other := load(t, Abilities{}) // another version
	for _, ids := range [][]uint32{nil, {1 << 30}, {other.ID(PodEgress), other.ID(HostEgress)}} {
		if s, err := Adopt(a, ids...); !errors.Is(err, ErrForeign) {
			t.Errorf("%v: %v, %v", ids, s, err)
		}
	}
}

func TestTablesAreReadAlikeOnKernelsWithoutBatches(t *testing.T) {
	s := load(t, abilities(t))
	u := sampleUplink()
	for i := range 3 * batch {
		u.Containers = append(u.Containers, plan.ContainerEntry{Cgroup: uint64(1000 + i), Pod: 1})
	}
	update(t, s, u)
	fast, err := readAll[uint64, cgroupValue](s.maps[mapCgroups])
	if err != nil {
		t.Fatal(err)
	}
	slow, err := readEach[uint64, cgroupValue](s.maps[mapCgroups])
	if err != nil || len(slow) != 3*batch+2 || !maps.Equal(fast, slow) {
		t.Errorf("%d entries at once, %d one by one, %v", len(fast), len(slow), err)
	}
}

// BenchmarkUpdate changes one of 200 pods with two containers each.
func BenchmarkUpdate(b *testing.B) {
	s := load(b, abilities(b))
	var u plan.Uplink
	for i := range 200 {
		pod := uint32(i + 1)
		u.Pods = append(u.Pods, plan.PodEntry{Pod: pod, Link: i + 1, Target: same(app, 0)})
		for j := range 2 {
			u.Containers = append(u.Containers, plan.ContainerEntry{Cgroup: uint64(1000 + 2*i + j), Pod: pod, Target: same(app, 0)})
		}
	}
	update(b, s, u)
	for i := 0; b.Loop(); i++ {
		u.Pods[0].Target = same(uint16(i), 0)
		if err := s.Update(u); err != nil {
			b.Fatal(err)
		}
	}
}
