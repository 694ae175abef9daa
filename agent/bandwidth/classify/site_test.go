//go:build namespace

package classify

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/tests/nethost"
)

// Minors of the tests: what the pods' packets are to have.
const (
	pod1, pod1Local, pod2 = 0x100, 0x110, 0x200
	app, appLocal, aux    = 0x120, 0x130, 0x140
	hostApp               = 0x300
)

// same is a target with the same minors in both directions.
func same(class, local uint16) plan.Target {
	return plan.Target{Class: [2]uint16{class, class}, Local: [2]uint16{local, local}}
}

// site is a node with two pods and an uplink to another machine. What the
// programs say is recorded instead of shaped.
type site struct {
	*nethost.Host
	t            testing.TB
	one, two     *nethost.Host
	outside      *nethost.Host
	set          *Set
	uplink       plan.Uplink
	records      map[string]*ebpf.Map
	groups       *cgroups
	app, sideApp string // folders of two containers of the first pod
	host, none   string // of one in the host's network, and of nobody
}

func newSite(t testing.TB, a Abilities) *site {
	t.Helper()
	s := &site{Host: nethost.New(t), t: t, one: nethost.New(t), two: nethost.New(t), outside: nethost.New(t), records: map[string]*ebpf.Map{}}
	nethost.Cable(s.Host, "up0", s.outside, "eth0")
	s.Run("ip addr add 192.0.2.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad; echo 1 > /proc/sys/net/ipv4/ip_forward")
	s.outside.Run("ip addr add 192.0.2.2/24 dev eth0; ip addr add 198.51.100.2/24 dev eth0; ip -6 addr add 2001:db8::2/64 dev eth0 nodad; ip route add 10.42.0.0/16 via 192.0.2.1")
	s.Run("ip route add default via 192.0.2.2")
	s.pod(s.one, 1)
	s.pod(s.two, 2)
	s.set = load(t, a)
	s.plan()
	for veth, pod := range map[string]*nethost.Host{"pod1": s.one, "pod2": s.two} {
		s.attach(veth, netlink.HANDLE_MIN_INGRESS, PodEgress)
		s.attach(veth, netlink.HANDLE_MIN_EGRESS, PodIngress)
		_ = pod
	}
	s.attach("up0", netlink.HANDLE_MIN_EGRESS, HostEgress)
	s.attach("up0", netlink.HANDLE_MIN_INGRESS, HostIngress)
	return s
}

func (s *site) pod(pod *nethost.Host, n int) {
	s.t.Helper()
	nethost.Cable(s.Host, fmt.Sprintf("pod%d", n), pod, "eth0")
	s.Run(fmt.Sprintf("ip addr add 10.42.%d.1/24 dev pod%d", n, n))
	pod.Run(fmt.Sprintf("ip addr add 10.42.%d.2/24 dev eth0; ip route add default via 10.42.%d.1", n, n))
}

// netnsID is what the host calls a pod's namespace since their veth was made.
func (s *site) netnsID(pod *nethost.Host) (id int) {
	s.t.Helper()
	s.Do(func() {
		var err error
		if id, err = netlink.GetNetNsIdByFd(int(pod.NS)); err != nil || id < 0 {
			s.t.Errorf("namespace id %d, %v", id, err)
		}
	})
	return id
}

func (s *site) plan() {
	s.t.Helper()
	s.groups = newCgroups(s.t)
	var appID, sideID, hostID uint64
	s.app, appID = s.groups.make("app")
	s.sideApp, sideID = s.groups.make("aux")
	s.host, hostID = s.groups.make("host")
	s.none, _ = s.groups.make("none")
	s.uplink = plan.Uplink{
		Device: "up0", Index: s.index("up0"), Only: true,
		Pods: []plan.PodEntry{
			{Pod: 1, Link: s.index("pod1"), NetnsID: s.netnsID(s.one), Target: same(pod1, pod1Local)},
			{Pod: 2, Link: s.index("pod2"), NetnsID: s.netnsID(s.two), Target: same(pod2, 0)},
		},
		Containers: []plan.ContainerEntry{
			{Cgroup: appID, Pod: 1, Target: same(app, appLocal)},
			{Cgroup: sideID, Pod: 1, Target: same(aux, 0)},
			{Cgroup: hostID, Target: same(hostApp, 0)},
		},
		// The pods' range and the node's own addresses.
		Local: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("192.0.2.1/32")},
	}
	s.update()
}

func (s *site) update() { s.t.Helper(); update(s.t, s.set, s.uplink) }

func (s *site) index(name string) int { return s.indexOf(s.Host, name) }

func (s *site) indexOf(h *nethost.Host, name string) (index int) {
	s.t.Helper()
	h.Do(func() {
		l, err := netlink.LinkByName(name)
		if err != nil {
			s.t.Error(err)
			return
		}
		index = l.Attrs().Index
	})
	return index
}

// attach puts the hook's program in front of one that counts by class.
func (s *site) attach(link string, parent uint32, h Hook) {
	s.t.Helper()
	record, recorder := newRecorder(s.t)
	s.records[fmt.Sprintf("%s %s", link, h)] = record
	index := s.index(link)
	s.Do(func() {
		qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
		_ = netlink.QdiscAdd(qdisc) // the other hook has
		for i, fd := range []int{s.set.FD(h), recorder.FD()} {
			f := &netlink.BpfFilter{
				FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Protocol: 3, Priority: uint16(i + 1)}, // ETH_P_ALL
				Fd:          fd, Name: s.set.Name(h), DirectAction: true,
			}
			if err := netlink.FilterAdd(f); err != nil {
				s.t.Error(err)
			}
		}
	})
}

// newRecorder counts packets by skb->priority, without what IPv6 says on links
// by itself.
func newRecorder(t testing.TB) (*ebpf.Map, *ebpf.Program) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1024})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	key := asm.Instructions{asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4)}
	const nextHeader = 20 // of IPv6 behind Ethernet
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R1, asm.R6, skbProtocol, asm.Word),
		asm.JNE.Imm(asm.R1, big(unix.ETH_P_IPV6), "count"),
		asm.LoadAbs(nextHeader, asm.Byte),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_HOPOPTS, "end"),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_ICMPV6, "end"),
		asm.LoadMem(asm.R1, asm.R6, skbPriority, asm.Word).WithSymbol("count"),
		asm.StoreMem(asm.R10, -4, asm.R1, asm.Word),
	}
	ins = append(ins, key...)
	ins = append(ins, asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "new"),
		asm.Mov.Imm(asm.R1, 1), asm.StoreXAdd(asm.R0, asm.R1, asm.DWord), asm.Ja.Label("end"))
	ins = append(ins, asm.StoreImm(asm.R10, -16, 1, asm.DWord).WithSymbol("new"))
	ins = append(ins, key...)
	ins = append(ins, asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -16), asm.Mov.Imm(asm.R4, 0), asm.FnMapUpdateElem.Call())
	// TC_ACT_UNSPEC: after an OK the kernel would overwrite tc_index.
	ins = append(ins, asm.Mov.Imm(asm.R0, -1).WithSymbol("end"), asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: license, Instructions: ins})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return m, p
}

// inBothWays runs a test with programs that read the kernel's structs, and with
// those for kernels that do not show them.
func inBothWays(t *testing.T, test func(t *testing.T, s *site)) {
	a := abilities(t)
	t.Run("reading", func(t *testing.T) { test(t, newSite(t, a)) })
	a.layout = layout{}
	t.Run("asking", func(t *testing.T) { test(t, newSite(t, a)) })
}

// forget empties the records.
func (s *site) forget() {
	s.t.Helper()
	for _, m := range s.records {
		for class := range recorded(s.t, m) {
			if err := m.Delete(uint32(major)<<16 | uint32(class)); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// recorded counts packets by minor.
func recorded(t testing.TB, m *ebpf.Map) map[uint16]uint64 {
	t.Helper()
	out := map[uint16]uint64{}
	var priority uint32
	var n uint64
	entries := m.Iterate()
	for entries.Next(&priority, &n) {
		if priority>>16 != uint32(major) {
			t.Errorf("%d packets with priority %#x", n, priority)
		}
		out[uint16(priority)] = n
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// want compares the classes that were recorded at each of the hooks, and that
// there was nothing at the others.
func (s *site) want(what string, want map[string][]uint16) {
	s.t.Helper()
	for name, m := range s.records {
		got := slices.Sorted(maps.Keys(recorded(s.t, m)))
		if !slices.Equal(got, slices.Sorted(slices.Values(want[name]))) {
			s.t.Errorf("%s: %s has classes %x, want %x (packets: %v)", what, name, got, want[name], recorded(s.t, m))
		}
	}
}
