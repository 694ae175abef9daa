package plan

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

var update = flag.Bool("update", false, "write the golden files")

const mbit = bitrate.Mbit

func both(low, high bitrate.Rate) model.Limits {
	return model.Limits{{Min: low, Max: high}, {Min: low, Max: high}}
}

func line(device string, rate bitrate.Rate) model.Uplink {
	return model.Uplink{Device: device, Index: 2, Rates: [2]bitrate.Rate{rate, rate}}
}

func pod(name string, link int, limits model.Limits, containers ...model.Container) model.Pod {
	return model.Pod{
		UID: "uid-" + name, Namespace: "default", Name: name, Link: link, NetnsID: link + 100,
		Addr: netip.AddrFrom4([4]byte{10, 42, 0, byte(link)}), Limits: limits, Priority: model.DefaultPriority, Containers: containers,
	}
}

func hostPod(name string, limits model.Limits, containers ...model.Container) model.Pod {
	p := pod(name, 0, limits, containers...)
	p.HostNetwork, p.NetnsID, p.Addr = true, -1, netip.Addr{}
	return p
}

func nodes() map[string]model.Node {
	local := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/24")}
	web := model.Container{Name: "web", Cgroup: 71, Limits: both(0, 10*mbit)}
	log := model.Container{Name: "log", Ports: []model.Port{{Protocol: unix.IPPROTO_TCP, Number: 9000}}, Limits: both(5*mbit, 30*mbit)}
	plain := model.Container{Name: "plain", Cgroup: 73}
	urgent := pod("urgent", 9, both(0, 0), plain)
	urgent.Priority = model.MaxPriority
	return map[string]model.Node{
		"empty": {Uplinks: []model.Uplink{{}}},
		"guarantees": {Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Local: local, Pods: []model.Pod{
			pod("c", 5, both(10*mbit, 0)), pod("a", 3, both(50*mbit, 0)), pod("b", 4, both(30*mbit, 40*mbit)), urgent,
		}},
		"containers": {
			Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Local: local,
			Reserve: model.Reserve{Ports: []model.Port{{Protocol: unix.IPPROTO_UDP, Number: 3784}, {Protocol: unix.IPPROTO_TCP, Number: 179}}, Cgroups: []uint64{99, 42, 99}},
			Pods: []model.Pod{
				pod("two", 3, both(0, 35*mbit), web, log, plain),
				pod("one-way", 4, model.Limits{model.Egress: {}}, model.Container{Name: "up", Cgroup: 81, Limits: model.Limits{model.Egress: {Max: 2 * mbit}}}),
				hostPod("host", both(0, 20*mbit), model.Container{Name: "stream", Cgroup: 91}),
			},
		},
		"open":        {Uplinks: []model.Uplink{line("wlan0", 0)}, Pods: []model.Pod{pod("free", 3, both(10*mbit, 0)), pod("held", 4, both(0, 10*mbit))}},
		"two-uplinks": {Uplinks: []model.Uplink{line("eth0", 100*mbit), {Device: "wwan0", Rates: [2]bitrate.Rate{mbit, 10 * mbit}}}, Pods: []model.Pod{pod("a", 3, both(50*mbit, 60*mbit))}},
	}
}

func TestPlansAreAsTheGoldenFilesSay(t *testing.T) {
	for name, node := range nodes() {
		p, _, refusals := Make(node, Assignment{})
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text := p.String()
		for _, r := range refusals {
			text += "refused " + r.Namespace + "/" + r.Name + " " + r.Reason + ": " + r.Message + "\n"
		}
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s is not as %s says:\n%s", name, file, text)
		}
	}
}

// find returns the class of an owner in a direction of the first uplink.
func find(t *testing.T, p Plan, d model.Direction, owner string) Class {
	t.Helper()
	for _, c := range p.Uplinks[0].Trees[d].Classes {
		if c.Owner == owner {
			return c
		}
	}
	t.Fatalf("no class of %q in:\n%s", owner, p)
	return Class{}
}

func TestClassesStayWhilePodsComeAndGo(t *testing.T) {
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Pods: []model.Pod{pod("b", 3, both(0, 0)), pod("d", 4, both(0, 0))}}
	first, assigned, _ := Make(node, Assignment{})
	before := find(t, first, model.Egress, "pod default/d")
	node.Pods = []model.Pod{pod("a", 5, both(0, 0)), pod("d", 4, both(0, 5*mbit))}
	second, again, _ := Make(node, assigned)
	after := find(t, second, model.Egress, "pod default/d")
	if before.Minor != after.Minor || after.Ceil != 5*mbit {
		t.Errorf("was %s, is %s", before, after)
	}
	if gone := find(t, first, model.Egress, "pod default/b"); gone.Minor == find(t, second, model.Egress, "pod default/a").Minor {
		t.Error("a class was given away at once")
	}
	if again.Pods["uid-d"].Number != assigned.Pods["uid-d"].Number || again.Pods["uid-a"].Number != 3 {
		t.Errorf("numbers: %+v, before %+v", again.Pods, assigned.Pods)
	}
	if _, third, _ := Make(node, again); !third.Equal(again) {
		t.Errorf("the same node is assigned otherwise: %+v, before %+v", third, again)
	}
}

func TestNoLeafChangesItsParentWhenAContainerGetsLimits(t *testing.T) {
	plain := pod("p", 3, both(0, 20*mbit), model.Container{Name: "web", Cgroup: 7})
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Pods: []model.Pod{plain}}
	first, assigned, _ := Make(node, Assignment{})
	plain.Containers = []model.Container{{Name: "web", Cgroup: 7, Limits: both(0, mbit)}}
	node.Pods = []model.Pod{plain}
	second, _, _ := Make(node, assigned)
	for _, d := range model.Directions {
		parents := map[uint16]uint16{}
		for _, c := range first.Uplinks[0].Trees[d].Classes {
			parents[c.Minor] = c.Parent
		}
		for _, c := range second.Uplinks[0].Trees[d].Classes {
			if was, there := parents[c.Minor]; there && was != c.Parent {
				t.Errorf("%s was below %s", c, Handle(was))
			}
		}
	}
}

func TestAGuaranteeThatDoesNotFitIsRefusedWithFigures(t *testing.T) {
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Pods: []model.Pod{pod("old", 3, both(60*mbit, 0))}}
	_, assigned, refusals := Make(node, Assignment{})
	if len(refusals) != 0 {
		t.Fatalf("refused: %+v", refusals)
	}
	// It sorts before the old one, and wants more than is left.
	node.Pods = append(node.Pods, pod("new", 4, both(40*mbit, 0)))
	p, assigned, refusals := Make(node, assigned)
	if len(refusals) != 2 || refusals[0].Name != "new" || refusals[0].Reason != v1alpha1.ReasonOverPromised {
		t.Fatalf("refused: %+v", refusals)
	}
	for _, want := range []string{"40 Mbit/s", "eth0 can promise 91.1 Mbit/s", "others have 60 Mbit/s", "31.1 Mbit/s are left"} {
		if !strings.Contains(refusals[0].Message, want) {
			t.Errorf("%q lacks %q", refusals[0].Message, want)
		}
	}
	if c := find(t, p, model.Egress, "pod default/new"); c.Rate > mbit || c.Ceil != 95*mbit {
		t.Errorf("got %s", c)
	}
	// More for the old one does not fit either; it keeps what it has.
	node.Pods = []model.Pod{pod("old", 3, both(95*mbit, 0))}
	p, assigned, refusals = Make(node, assigned)
	if len(refusals) != 2 || refusals[0].Granted != 60*mbit || find(t, p, model.Egress, "pod default/old").Rate < 60*mbit {
		t.Errorf("refused: %+v, %s", refusals, p)
	}
	// When the uplink's rate is unknown for a while, the order stays.
	node = model.Node{Uplinks: []model.Uplink{line("eth0", 0)}, Pods: []model.Pod{pod("old", 3, both(60*mbit, 0)), pod("aaa", 4, both(60*mbit, 0))}}
	_, assigned, refusals = Make(node, assigned)
	if len(refusals) != 4 || refusals[0].Reason != v1alpha1.ReasonUplinkUnknown {
		t.Errorf("refused: %+v", refusals)
	}
	node.Uplinks = []model.Uplink{line("eth0", 100*mbit)}
	_, assigned, refusals = Make(node, assigned)
	if len(refusals) != 2 || refusals[0].Name != "aaa" {
		t.Errorf("refused: %+v", refusals)
	}
	// On a smaller uplink even an old promise cannot be kept.
	node.Uplinks = []model.Uplink{line("eth0", 50*mbit)}
	if _, _, refusals = Make(node, assigned); len(refusals) != 4 {
		t.Errorf("refused: %+v", refusals)
	}
}

func TestBurstsOfTheFirstSecondAreSmall(t *testing.T) {
	for _, r := range []bitrate.Rate{100 * bitrate.Kbit, mbit, 10 * mbit, 100 * mbit, 500 * mbit} {
		if got, second := uint64(Burst(r)), r.Bytes(1e9); got > second/5 {
			t.Errorf("%s: %d bytes at once, %d in a second", r, got, second)
		}
	}
	if Burst(openRate) > most || Queue(openRate) > most || Quantum(openRate, 1) > segment {
		t.Error("parameters without a limit are without a limit")
	}
}

func TestAFullTreeRefusesTheRest(t *testing.T) {
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 1000*mbit)}}
	for i := range 4_100 {
		p := pod(strings.Repeat("x", i%50)+string(rune('a'+i%26)), i+1, both(0, 0))
		p.UID = p.Name + string(rune(0x4000+i))
		node.Pods = append(node.Pods, p)
	}
	p, assigned, refusals := Make(node, Assignment{})
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if len(assigned.Minors) != 4_094 || len(refusals) != 2*6 {
		t.Errorf("%d classes, %d refusals", len(assigned.Minors), len(refusals))
	}
}

// While a container ends, its successor may run already.
func TestTwoContainersOfOneNameShareAClass(t *testing.T) {
	old := model.Container{Name: "web", ID: "1", Cgroup: 71, Limits: both(60*mbit, 0)}
	fresh := old
	fresh.ID, fresh.Cgroup = "2", 72
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Pods: []model.Pod{pod("a", 3, both(0, 0), fresh, old)}}
	p, _, refusals := Make(node, Assignment{})
	if err := p.Validate(); err != nil || len(refusals) > 0 {
		t.Fatalf("%v, %+v", err, refusals)
	}
	u := p.Uplinks[0]
	if len(u.Containers) != 2 || u.Containers[0].Target != u.Containers[1].Target {
		t.Errorf("containers are %+v", u.Containers)
	}
}

func TestADamagedAssignmentGivesNoTwoTheSame(t *testing.T) {
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 100*mbit)}, Pods: []model.Pod{pod("a", 3, both(0, mbit)), pod("b", 4, both(0, mbit)), pod("c", 5, both(0, mbit))}}
	p, next, _ := Make(node, Assignment{
		Minors: map[string]uint16{"uid-a": 0x40, "uid-b": 0x40, "uid-c": 0x45, "uid-a/local": 0x40},
		Pods:   map[string]Assigned{"uid-a": {Number: 9}, "uid-b": {Number: 9}, "uid-c": {}},
	})
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if p, again, _ := Make(node, next); p.Validate() != nil || !again.Equal(next) {
		t.Errorf("%+v became %+v", next, again)
	}
}

func TestDeclaredPortsLeaveRoomForOthers(t *testing.T) {
	var many []model.Port
	for n := range 3000 {
		many = append(many, model.Port{Protocol: unix.IPPROTO_TCP, Number: uint16(n + 1)})
	}
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 100*mbit)}}
	for i := range 50 {
		node.Pods = append(node.Pods, pod(fmt.Sprint("p", i), i+1, both(0, 0), model.Container{Name: "web", Ports: many, Limits: both(0, mbit)}))
	}
	p, _, _ := Make(node, Assignment{})
	if n := len(p.Uplinks[0].Ports); n != allPorts || p.Validate() != nil {
		t.Errorf("%d ports, %v", n, p.Validate())
	}
	node.Pods = node.Pods[:2]
	if p, _, _ = Make(node, Assignment{}); len(p.Uplinks[0].Ports) != 2*mostPorts {
		t.Errorf("%d ports", len(p.Uplinks[0].Ports))
	}
}
