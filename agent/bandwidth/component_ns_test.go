//go:build namespace

package bandwidth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/inventory"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/nethost"
)

const waitFor = time.Minute

// node is a component that shapes a host of its own.
type node struct {
	*bench
	*nethost.Host
	machine *Machine
	stop    func()
}

// newNode is a host with an uplink and pods named p0, p1 ..., the first of which
// is limited.
func newNode(t *testing.T, pods int) *node {
	t.Helper()
	n := &node{bench: newBench(t), Host: nethost.New(t)}
	nethost.Cable(nethost.New(t), "wire", n.Host, "eth0")
	n.uplinks.uplinks[0].Index = n.index("eth0")
	var running []inventory.Pod
	for i := range pods {
		link := "veth" + strconv.Itoa(i)
		nethost.Cable(nethost.New(t), "eth0", n.Host, link)
		p := runningPod("p"+strconv.Itoa(i), nil)
		p.Link, p.NetnsID, p.Addr = n.index(link), -1, netip.AddrFrom4([4]byte{10, 42, 0, byte(i + 2)})
		p.Containers = nil
		running = append(running, p)
	}
	n.inv.set(running...)
	n.start(t)
	n.eventually("the API is watched", func() error {
		n.pods.mu.Lock()
		defer n.pods.mu.Unlock()
		if n.pods.watcher == nil {
			return fmt.Errorf("no watch yet")
		}
		return nil
	})
	n.limit(0, 1, "10M")
	n.eventually("the first pod is limited", n.hasCeil("10Mbit"))
	return n
}

func (n *node) index(name string) (index int) {
	n.T.Helper()
	n.Do(func() {
		l, err := net.InterfaceByName(name)
		if err != nil {
			n.T.Errorf("%s: %v", name, err)
			return
		}
		index = l.Index
	})
	return index
}

// start runs a component as a new process would.
func (n *node) start(t *testing.T) {
	t.Helper()
	n.machine = NewMachine(slog.New(slog.DiscardHandler))
	var err error
	n.Bandwidth, err = New(Config{
		NodeName: "edge", Kubeconfig: "none",
		StateFile: filepath.Join(n.files, "bandwidth.json"), ClassesFile: filepath.Join(n.files, "classes.json"),
		Local: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.42.0.0/24")} },
	}, Parts{
		Inventory: n.inv, Uplinks: n.uplinks, Kernel: n.machine, Reporter: n.reporter, Changed: []<-chan struct{}{n.inv.changed},
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	n.dial = func() (clients, error) {
		return clients{kube: n.api, pods: n.pods.ListerWatcher(), policies: n.policies.ListerWatcher()}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		n.Do(func() { _ = n.Bandwidth.Run(ctx, func() { notifyOnce(ready) }) })
	}()
	<-ready
	n.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(func() {
		n.stop()
		_ = n.machine.Close()
	})
}

func notifyOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// limit gives a pod another ceiling in the API.
func (n *node) limit(pod, version int, rate string) {
	p := podObject("p"+strconv.Itoa(pod), limited(rate))
	p.ResourceVersion = strconv.Itoa(version)
	n.pods.mu.Lock()
	defer n.pods.mu.Unlock()
	n.pods.list.(*corev1.PodList).Items = []corev1.Pod{*p}
	n.pods.watcher.Modify(p)
}

func (n *node) eventually(what string, probe func() error) {
	n.T.Helper()
	testx.Eventually(n.T, waitFor, what, func(context.Context) error { return probe() })
}

// hasCeil asks the kernel for a class with that ceiling, as tc writes it.
func (n *node) hasCeil(rate string) func() error {
	return func() error {
		if out := n.Host.Run("tc class show dev kedge-out0"); !strings.Contains(out, "ceil "+rate+" ") {
			return fmt.Errorf("no class with ceil %s:\n%s", rate, out)
		}
		return nil
	}
}

// asPlanned compares the kernel with the plan.
func (n *node) asPlanned() error {
	var lines []string
	var err error
	n.Do(func() { lines, err = n.machine.Differences(n.now.Load().plan) })
	if err == nil && len(lines) > 0 {
		err = fmt.Errorf("the kernel differs:\n%s", strings.Join(lines, "\n"))
	}
	return err
}

func TestThousandChangesEndWithTheLast(t *testing.T) {
	n := newNode(t, 3)
	before := n.delays.figures().Count
	for i := range 1000 {
		count := n.delays.figures().Count
		n.limit(0, i+2, strconv.Itoa(1+i%90)+"M")
		if i%10 > 0 {
			continue // they come in bursts
		}
		n.eventually("changes are taken", func() error {
			if n.delays.figures().Count == count {
				return fmt.Errorf("none was")
			}
			return nil
		})
	}
	n.limit(0, 2000, "77M")
	n.eventually("the last change is in the kernel", n.hasCeil("77Mbit"))
	n.eventually("the kernel is as planned", n.asPlanned)
	d := n.delays.figures()
	if d.Count <= before {
		t.Errorf("delays are %+v", d)
	}
	t.Logf("delays of %d passes: p50 %s, p99 %s, max %s", d.Count-before, d.P50, d.P99, d.Max)
}

func TestANewProcessAdoptsWhatIsThere(t *testing.T) {
	n := newNode(t, 2)
	n.eventually("the kernel is as planned", n.asPlanned)
	handles := n.Host.Run("tc class show dev kedge-out0; tc filter show dev veth0 ingress; tc filter show dev eth0 egress; ip -o link show kedge-out0")
	n.stop()
	n.start(t)
	n.eventually("the kernel is as planned", n.asPlanned)
	if now := n.Host.Run("tc class show dev kedge-out0; tc filter show dev veth0 ingress; tc filter show dev eth0 egress; ip -o link show kedge-out0"); now != handles {
		t.Errorf("before:\n%s\nafter a restart:\n%s", handles, now)
	}
	if n.drift.times() != 0 {
		t.Error("the new process mended something")
	}
}

func TestWhatSomebodyTakesAwayComesBack(t *testing.T) {
	n := newNode(t, 2)
	for _, damage := range []string{
		"tc class del dev kedge-out0 classid 6b65:20",
		"ip link del kedge-in0",
		"tc qdisc del dev eth0 clsact",
		"tc qdisc del dev veth0 clsact",
		"tc qdisc del dev kedge-out0 root",
	} {
		n.eventually("the kernel is as planned", n.asPlanned)
		before := n.drift.times()
		n.Host.Run(damage)
		n.eventually(damage+" is mended", func() error {
			if n.drift.times() == before {
				return fmt.Errorf("not seen yet")
			}
			return n.asPlanned()
		})
	}
}

func TestAPodThatVanishesTakesNothingElseWithIt(t *testing.T) {
	n := newNode(t, 3)
	n.Host.Run("ip link del veth1")
	n.limit(0, 10, "33M")
	n.eventually("the next change is in the kernel", n.hasCeil("33Mbit"))
	if v := n.now.Load().verdict; v.err() != nil {
		t.Errorf("a pod's link is gone, and the node says %+v", v)
	}
}

func TestAnUplinkThatVanishesLeavesCeilings(t *testing.T) {
	n := newNode(t, 2)
	n.Host.Run("ip link del eth0")
	n.uplinks.uplinks = []model.Uplink{{Device: "eth0", Rates: [2]bitrate.Rate{100 * bitrate.Mbit, 100 * bitrate.Mbit}}}
	n.inv.set(n.inv.pods...)
	n.eventually("the node says so", func() error {
		if r := n.now.Load().verdict.reason; r != ReasonUplinkMissing {
			return fmt.Errorf("it says %s", r)
		}
		return n.hasCeil("10Mbit")()
	})
}

func TestRemoveAllLeavesNothing(t *testing.T) {
	n := newNode(t, 2)
	n.eventually("the kernel is as planned", n.asPlanned)
	n.stop()
	layout := paths.Layout{DataDir: t.TempDir(), RunDir: filepath.Join(t.TempDir(), "kedge-of-a-test")}
	for range 2 { // it may be repeated
		n.Do(func() {
			if err := errors.Join(RemoveAll(t.Context()), RemoveFolders(t.Context(), layout, "/kedge-of-a-test")); err != nil {
				t.Error(err)
			}
		})
	}
	for _, left := range []string{"kedge", "clsact", "htb"} {
		if out := n.Host.Run("ip link; tc qdisc"); strings.Contains(out, left) {
			t.Errorf("%s is left:\n%s", left, out)
		}
	}
}
