//go:build namespace

package shape

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/agent/bandwidth/classify"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/tests/nethost"
)

// node is a host with an uplink to another machine and pods, as namespaces.
type node struct {
	*nethost.Host
	t       testing.TB
	outside *nethost.Host
	pods    []*nethost.Host
	kernel  *Kernel
	uplink  int
}

func newNode(t testing.TB, pods int) *node {
	t.Helper()
	n := &node{Host: nethost.New(t), t: t, outside: nethost.New(t)}
	n.kernel = newKernel(t)
	nethost.Cable(n.outside, "wire", n.Host, "eth0")
	n.outside.Run("ip addr add 192.0.2.254/24 dev wire; ip route add 10.42.0.0/16 via 192.0.2.1")
	n.Run("ip addr add 192.0.2.1/24 dev eth0; echo 1 > /proc/sys/net/ipv4/ip_forward")
	n.uplink = n.index("eth0")
	n.Run("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.42.0.1/24 dev br0")
	for i := range pods {
		pod := nethost.New(t)
		veth := fmt.Sprintf("veth%d", i)
		nethost.Cable(n.Host, veth, pod, "eth0")
		n.Run(fmt.Sprintf("ip link set %s master br0", veth))
		pod.Run(fmt.Sprintf("ip addr add %s/24 dev eth0; ip route add default via 10.42.0.1", podAddr(i)))
		n.pods = append(n.pods, pod)
	}
	return n
}

func (n *node) index(name string) int {
	n.t.Helper()
	var index int
	n.Do(func() {
		l, err := netlink.LinkByName(name)
		if err != nil {
			n.t.Errorf("%s: %v", name, err)
			return
		}
		index = l.Attrs().Index
	})
	return index
}

func (n *node) apply(p plan.Plan) Result {
	n.t.Helper()
	var r Result
	var err error
	n.Do(func() { r, err = n.kernel.Apply(context.Background(), p) })
	if err != nil {
		n.t.Fatalf("apply: %v", err)
	}
	return r
}

func (n *node) observe() string {
	n.t.Helper()
	var s State
	var err error
	n.Do(func() { s, err = n.kernel.Observe() })
	if err != nil {
		n.t.Fatalf("observe: %v", err)
	}
	return s.String()
}

// wants fails if the kernel is not what the plan asks for.
func (n *node) wants(p plan.Plan) {
	n.t.Helper()
	var s State
	var err error
	n.Do(func() { s, err = n.kernel.Wish(p) })
	if err != nil {
		n.t.Fatal(err)
	}
	if have, want := n.observe(), s.String(); have != want {
		n.t.Fatalf("the kernel has\n%s\nwanted is\n%s", have, want)
	}
}

func newKernel(t testing.TB) *Kernel {
	k := New(slog.New(slog.DiscardHandler), programs(t))
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// programs is the classifier of this kernel.
func programs(t testing.TB) Programs {
	t.Helper()
	a, err := classify.Probe()
	if err != nil {
		t.Fatal(err)
	}
	return Programs{Abilities: a}
}

func podAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 42, 0, byte(i + 2)}) }

// podMinor is the class of a pod of these tests.
func podMinor(i int) uint16 { return plan.MinorFirst + uint16(i)*16 }

// limits is a plan with one leaf for each pod and ceiling.
func (n *node) limits(uplink bitrate.Rate, ceilings ...bitrate.Rate) plan.Plan {
	u := plan.Uplink{Device: "eth0", Index: n.uplink, Only: true}
	for d, device := range []string{"kedge-out0", "kedge-in0"} {
		t := plan.Tree{Device: device, Classes: []plan.Class{
			class(plan.MinorRoot, 0, uplink, uplink),
			class(plan.MinorControl, plan.MinorRoot, uplink/20, uplink),
			class(plan.MinorHost, plan.MinorRoot, uplink/100, uplink),
		}}
		for i, ceil := range ceilings {
			t.Classes = append(t.Classes, class(podMinor(i), plan.MinorRoot, min(ceil, bitrate.Mbit/8), ceil))
		}
		u.Trees[d] = t
	}
	u.Trees[0].Classes[0].Queue, u.Trees[1].Classes[0].Queue = 0, 0
	for i := range ceilings {
		minor := podMinor(i)
		u.Pods = append(u.Pods, plan.PodEntry{
			Pod: uint32(i + 1), NetnsID: -1, Addr: podAddr(i), Link: n.index(fmt.Sprintf("veth%d", i)),
			Target: plan.Target{Class: [2]uint16{minor, minor}},
		})
	}
	return plan.Plan{Uplinks: []plan.Uplink{u}}
}

func class(minor, parent uint16, rate, ceil bitrate.Rate) plan.Class {
	return plan.Class{
		Minor: minor, Parent: parent, Rate: rate, Ceil: ceil, Priority: 4, Quantum: plan.Quantum(ceil, 1),
		Burst: plan.Burst(rate), Cburst: plan.Burst(ceil), Queue: plan.Queue(ceil),
	}
}

func TestKernelIsWhatThePlanSays(t *testing.T) {
	n := newNode(t, 2)
	p := n.limits(bitrate.Gbit, 10*bitrate.Mbit, 100*bitrate.Gbit)
	n.apply(p)
	n.wants(p)
	if addresses := n.Run("ip addr show dev kedge-out0"); strings.Contains(addresses, "inet6") {
		t.Errorf("addresses: %s", addresses)
	}
	if r := n.apply(p); r.Changes != 0 {
		t.Errorf("the second time made %d changes", r.Changes)
	}
}

// pfifo stands for queues that other kernels have.
func TestLeavesOfAllKinds(t *testing.T) {
	n := newNode(t, 1)
	p, other := n.limits(bitrate.Gbit, bitrate.Mbit), n.limits(bitrate.Gbit, 300*bitrate.Mbit)
	for _, a := range []Abilities{
		{Queue: "bfifo", Segment: true}, {Queue: "pfifo", Segment: true}, {Queue: "pfifo"}, {Queue: "bfifo"}, {Queue: "pfifo", Segment: true},
	} {
		n.kernel.abilities = &a
		for _, p := range []plan.Plan{p, other} {
			n.apply(p)
			n.wants(p)
			if r := n.apply(p); r.Changes != 0 {
				t.Errorf("%+v: the second time made %d changes", a, r.Changes)
			}
		}
	}
}

func TestAPodGetsAndLosesContainerClasses(t *testing.T) {
	n := newNode(t, 1)
	whole := n.limits(bitrate.Gbit, 10*bitrate.Mbit)
	parts, below := n.limits(bitrate.Gbit, 10*bitrate.Mbit), n.limits(bitrate.Gbit, 10*bitrate.Mbit)
	for d := range parts.Uplinks[0].Trees {
		// As plans do it: the pod's class moves to another minor,
		t := &parts.Uplinks[0].Trees[d]
		t.Classes[3].Minor, t.Classes[3].Queue = podMinor(0)+1, 0
		t.Classes = append(t.Classes, class(podMinor(1), podMinor(0)+1, bitrate.Mbit, bitrate.Mbit), class(podMinor(2), podMinor(0)+1, bitrate.Mbit, bitrate.Mbit))
		// and as they do not.
		t = &below.Uplinks[0].Trees[d]
		t.Classes[3].Queue = 0
		t.Classes = append(t.Classes, class(podMinor(1), podMinor(0), bitrate.Mbit, bitrate.Mbit))
	}
	parts.Uplinks[0].Pods[0].Target.Class = [2]uint16{podMinor(2), podMinor(2)}
	below.Uplinks[0].Pods[0].Target.Class = [2]uint16{podMinor(1), podMinor(1)}
	for i, p := range []plan.Plan{whole, parts, whole, below, parts, below, whole} {
		n.apply(p)
		n.wants(p)
		if r := n.apply(p); r.Changes != 0 {
			t.Errorf("step %d: the second time made %d changes", i, r.Changes)
		}
	}
}

func TestRatesOfAllSizesAreAsPlannedAndTheKernelHasNoComplaints(t *testing.T) {
	n := newNode(t, 6)
	p := n.limits(bitrate.Tbit, 8, bitrate.Kbit, 64*bitrate.Kbit, 34_359_738_360, 34_359_738_368, bitrate.Tbit)
	n.apply(p)
	n.wants(p)
	if r := n.apply(p); r.Changes != 0 {
		t.Errorf("the second time made %d changes", r.Changes)
	}
	// "HTB: quantum of class 6B650001 is big", "sch_tbf: burst 1514 is lower than
	// device mtu", "htb: tbf qdisc 20: is non-work-conserving?"
	if said := n.Run(`dmesg | grep -iE 'of class 6B65|device kedge-|tbf qdisc .* non-work' || true`); strings.Contains(said, "quantum") || strings.Contains(said, "mtu") || strings.Contains(said, "non-work") {
		t.Errorf("the kernel says %s", said)
	}
}
