package shape

import (
	"errors"
	"math"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

var facts = Facts{Queue: "bfifo", Segment: true, Links: map[int]int{2: 1500, 3: 1450, 4: 9000}}

// planned is an uplink with a root, a pod with two containers and a free pod.
func planned() plan.Plan {
	u := plan.Uplink{Device: "eth0", Index: 2}
	for d, name := range []string{"kedge-out0", "kedge-in0"} {
		u.Trees[d] = plan.Tree{Device: name, Classes: []plan.Class{
			{Minor: 1, Rate: 95 * bitrate.Mbit, Ceil: 95 * bitrate.Mbit, Quantum: 1522, Burst: 118750, Cburst: 118750},
			{Minor: 0x21, Parent: 1, Rate: bitrate.Mbit, Ceil: 10 * bitrate.Mbit, Priority: 4, Quantum: 1522, Burst: 3044, Cburst: 12500},
			{Minor: 0x30, Parent: 0x21, Rate: bitrate.Mbit, Ceil: 10 * bitrate.Mbit, Priority: 4, Quantum: 1522, Burst: 3044, Cburst: 12500, Queue: 25000},
			{Minor: 0x40, Parent: 1, Rate: bitrate.Mbit, Ceil: 300 * bitrate.Mbit, Priority: 2, Quantum: 1522, Burst: 3044, Cburst: 375000, Queue: 750000},
		}}
	}
	u.Pods = []plan.PodEntry{
		{Pod: 1, Link: 3, Target: plan.Target{Class: [2]uint16{0x30, 0}}},
		{Pod: 2, Link: 4},
		{Pod: 3, Link: 5, Target: plan.Target{Class: [2]uint16{0x40, 0x40}}},
	}
	return plan.Plan{Uplinks: []plan.Uplink{u}}
}

func TestWish(t *testing.T) {
	const want = `device kedge-in0 htb 6b65: default 10
  class 1 parent - rate 95000000 ceil 95000000 burst 118750 cburst 118750
  class 21 parent 1 rate 1000000 ceil 10000000 burst 3044 cburst 12500
  class 30 parent 21 rate 1000000 ceil 10000000 burst 3044 cburst 12500 prio 4 quantum 1522 bfifo 25000 largest 9022
  class 40 parent 1 rate 1000000 ceil 300000000 burst 3044 cburst 375000 prio 2 quantum 1522 bfifo 750000 largest 262144
device kedge-out0 htb 6b65: default 10
  class 1 parent - rate 95000000 ceil 95000000 burst 118750 cburst 118750
  class 21 parent 1 rate 1000000 ceil 10000000 burst 3044 cburst 12500
  class 30 parent 21 rate 1000000 ceil 10000000 burst 3044 cburst 12500 prio 4 quantum 1522 bfifo 25000 largest 9022
  class 40 parent 1 rate 1000000 ceil 300000000 burst 3044 cburst 375000 prio 2 quantum 1522 bfifo 750000 largest 262144
link 2 host-egress 0 -> kedge-out0
link 2 host-ingress 0 -> kedge-in0
link 3 pod-egress 0 -> kedge-out0
`
	if got := Wish(planned(), facts).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPodsHaveOnlyTheFiltersThatTheyNeed(t *testing.T) {
	p := planned()
	hooksOf := func(p plan.Plan) (all []string) {
		for _, f := range Wish(p, facts).Hooks {
			all = append(all, strings.TrimSpace(strings.Split(State{Hooks: []Filter{f}}.String(), "->")[0]))
		}
		return all
	}
	expect := func(p plan.Plan, want ...string) {
		t.Helper()
		if got := strings.Join(hooksOf(p), ", "); got != strings.Join(want, ", ") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	// Link 5 is gone, link 4 is free, and only the egress of link 3 is limited.
	expect(p, "link 2 host-egress 0", "link 2 host-ingress 0", "link 3 pod-egress 0")
	p.Uplinks[0].Trees[0].Open, p.Uplinks[0].Trees[1].Open = true, true
	expect(p, "link 3 pod-egress 0")
	p.Uplinks[0].Containers = []plan.ContainerEntry{
		{Pod: 0, Target: plan.Target{Class: [2]uint16{0x40, 0}}}, // in the host's network
		{Pod: 2, Target: plan.Target{Local: [2]uint16{0, 0x40}}},
	}
	expect(p, "link 2 host-egress 0", "link 3 pod-egress 0", "link 4 pod-ingress 0")
	p.Uplinks[0].Index = 0
	expect(p, "link 3 pod-egress 0", "link 4 pod-ingress 0")
}

func TestBurstsSurviveTheKernelsTicks(t *testing.T) {
	for _, r := range []bitrate.Rate{8, 1000, bitrate.Mbit, 100 * bitrate.Gbit, bitrate.Tbit} {
		for _, b := range []uint32{1, 1522, 1 << 20, math.MaxUint32} {
			back := readBack(b, r)
			if again := readBack(back, r); ticks(back, r) != ticks(b, r) && again != back {
				t.Errorf("%d bytes at %d: %d, then %d", b, r, back, again)
			}
		}
	}
	if got := readBack(12500, 10*bitrate.Mbit); got < 12500 || got > 12500+80 {
		t.Errorf("12500 bytes at 10M are %d", got)
	}
}

func TestCompareTellsWhatDiffers(t *testing.T) {
	p := planned()
	want := Wish(p, facts)
	p.Uplinks[0].Trees[model.Egress].Classes[2].Ceil = 20 * bitrate.Mbit
	p.Uplinks[0].Pods = p.Uplinks[0].Pods[1:]
	got := compare(want.String(), Wish(p, facts).String())
	if len(got) != 3 || !strings.HasPrefix(got[0], "+ kedge-out0 class 30 ") || !strings.HasPrefix(got[1], "- kedge-out0 class 30 ") || got[2] != "- link 3 pod-egress 0 -> kedge-out0" {
		t.Errorf("got %q", got)
	}
	if got := compare(want.String(), want.String()); got != nil {
		t.Errorf("equal texts differ in %q", got)
	}
}

func TestMissingPartsOfTheKernelHaveARemedy(t *testing.T) {
	for _, answer := range []error{unix.EOPNOTSUPP, unix.ENOENT} {
		err := withRemedy(answer, moduleIFB)
		var missing *Missing
		if !errors.As(err, &missing) || missing.Option != "CONFIG_IFB" || !errors.Is(err, answer) || !strings.Contains(err.Error(), `"modprobe ifb numifbs=0"`) {
			t.Errorf("%v: %v", answer, err)
		}
	}
	if err := withRemedy(unix.EPERM, moduleIFB); !errors.Is(err, unix.EPERM) || strings.Contains(err.Error(), "modprobe") {
		t.Errorf("EPERM: %v", err)
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add(attrText(attrU32(nil, 1, 7), 2, "name"))
	f.Add([]byte{3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a := attrs(b)
		_, _, _ = a.u32(1), a.u64(1), a.text(2)
		if l := len(a.nested(1)); l > len(b) {
			t.Errorf("%d bytes of %d", l, len(b))
		}
		_ = answer(b, unix.NLM_F_ACK_TLVS)
	})
}
