//go:build namespace

package shape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/nethost"
)

const outsideAddr = "192.0.2.254"

// patient is long enough for anything that comes at all.
const patient = 20 * time.Second

// udp is a socket in a host, connected to where it sends.
func udp(h *nethost.Host, addr string) net.Conn {
	h.T.Helper()
	var c net.Conn
	h.Do(func() {
		var err error
		if c, err = net.Dial("udp", addr); err != nil {
			h.T.Error(err)
		}
	})
	if h.T.Failed() {
		h.T.FailNow()
	}
	h.T.Cleanup(func() { _ = c.Close() })
	return c
}

// echoed sends datagrams one by one and fails for one without an answer.
func echoed(t testing.TB, c net.Conn, size, times int) {
	t.Helper()
	buf := make([]byte, size)
	for i := range times {
		_ = c.SetDeadline(time.Now().Add(patient))
		if _, err := c.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatalf("datagram %d of %d: %v", i, times, err)
		}
	}
}

func (n *node) counter(d model.Direction, minor uint16) Counter {
	n.t.Helper()
	var all []Counter
	var err error
	n.Do(func() { all, err = n.kernel.Counters() })
	if err != nil {
		n.t.Fatal(err)
	}
	for _, c := range all {
		if c.Direction == d && c.Minor == minor {
			return c
		}
	}
	n.t.Fatalf("no class %x for %d in %v", minor, d, all)
	return Counter{}
}

func TestPacketsPassTheirClassOnceInBothDirections(t *testing.T) {
	n := newNode(t, 2)
	n.outside.EchoUDP(":9")
	n.apply(n.limits(bitrate.Gbit, 100*bitrate.Mbit, 50*bitrate.Mbit))
	const times, size = 20, 1000
	echoed(t, udp(n.pods[1], outsideAddr+":9"), size, times)
	echoed(t, udp(n.Host, outsideAddr+":9"), size, times)
	const frame = size + 8 + 20 + 14
	for _, minor := range []uint16{podMinor(1), plan.MinorHost} {
		for _, d := range model.Directions {
			// A question for an Ethernet address may be among them.
			if c := n.counter(d, minor); c.Bytes/frame != times || c.Packets < times || c.Packets > times+5 {
				t.Errorf("class %x, direction %d: %+v", minor, d, c)
			}
		}
	}
	for _, d := range model.Directions {
		if c := n.counter(d, plan.MinorRoot); c.Bytes/frame != 2*times {
			t.Errorf("root, direction %d: %+v", d, c)
		}
		if c := n.counter(d, podMinor(0)); c.Packets > 5 {
			t.Errorf("the other pod, direction %d: %+v", d, c)
		}
	}
}

func TestFloodIsHeldByItsCeilingAlone(t *testing.T) {
	n := newNode(t, 2)
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit, 100*bitrate.Mbit))
	n.outside.EchoUDP(":9")
	heard := n.outside.EchoUDP(":19")
	flood := udp(n.pods[0], outsideAddr+":19")
	const times = 1000
	for range times {
		_, _ = flood.Write(make([]byte, 1000))
	}
	echoed(t, udp(n.pods[1], outsideAddr+":9"), 1000, 20) // the neighbour
	c := n.counter(model.Egress, podMinor(0))
	if c.Drops < times/2 || c.Overlimits == 0 || heard() > times/2 {
		t.Errorf("%d of %d came through at once: %+v", heard(), times, c)
	}
	if d := n.counter(model.Egress, podMinor(1)).Drops; d != 0 {
		t.Errorf("the neighbour lost %d", d)
	}
}

func TestLiveChangesLoseNothing(t *testing.T) {
	n := newNode(t, 2)
	n.outside.EchoUDP(":9")
	fast, slow := n.limits(bitrate.Gbit, 100*bitrate.Mbit, bitrate.Mbit), n.limits(500*bitrate.Mbit, 20*bitrate.Mbit, bitrate.Gbit)
	n.apply(fast)
	stop, changed := make(chan struct{}), make(chan int)
	var done atomic.Int32
	go func() {
		defer close(changed)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			n.apply([]plan.Plan{slow, fast}[i%2])
			done.Add(1)
		}
	}()
	c := udp(n.pods[0], outsideAddr+":9")
	for done.Load() < 100 {
		echoed(t, c, 1000, 20)
	}
	close(stop)
	<-changed
	for _, d := range model.Directions {
		if drops := n.counter(d, podMinor(0)).Drops; drops != 0 {
			t.Errorf("%d packets were lost in direction %d", drops, d)
		}
	}
}

// The kernel drops packets while a clsact is made or removed.
func TestPodsWithoutLimitsArePreparedForThem(t *testing.T) {
	n := newNode(t, 1)
	p := n.limits(bitrate.Gbit, bitrate.Mbit)
	free := n.limits(bitrate.Gbit, bitrate.Mbit)
	for i := range free.Uplinks[0].Trees {
		free.Uplinks[0].Trees[i].Open = true
	}
	free.Uplinks[0].Pods[0].Target = plan.Target{}
	const show = "tc qdisc show dev veth0; tc filter show dev veth0 ingress | grep pod-egress || true"
	n.apply(free)
	unlimited := n.Run(show)
	if !strings.Contains(unlimited, "clsact") || strings.Contains(unlimited, "bpf") {
		t.Errorf("without limits: %s", unlimited)
	}
	n.apply(p)
	if now := n.Run(show); !strings.Contains(now, "bpf") {
		t.Errorf("with limits: %s", now)
	}
	n.apply(free)
	if again := n.Run(show); again != unlimited {
		t.Errorf("without limits again: %s", again)
	}
}

// A pod whose limit goes loses nothing that waits in its class.
func TestRemovedClassRunsEmpty(t *testing.T) {
	n := newNode(t, 2)
	heard := n.outside.EchoUDP(":9")
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit, 2*bitrate.Mbit))
	c := udp(n.pods[1], outsideAddr+":9")
	echoed(t, c, 100, 1) // Ethernet addresses are known now
	before := heard()
	const times = 8
	for range times {
		_, _ = c.Write(make([]byte, 1000))
	}
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit))
	for range times {
		_ = c.SetDeadline(time.Now().Add(patient))
		if _, err := c.Read(make([]byte, 1000)); err != nil {
			t.Fatalf("%d of %d came: %v", heard()-before, times, err)
		}
	}
}

// Inside of a host TCP's packets are joined to 64 KiB. They must not pass a slow
// class in one piece, nor be too long for its queue.
func TestJoinedPacketsAreCut(t *testing.T) {
	n := newNode(t, 1)
	n.apply(n.limits(bitrate.Gbit, 20*bitrate.Mbit))
	for _, way := range []struct {
		name     string
		from, to *nethost.Host
		link     string
		addr     string
	}{{"egress", n.pods[0], n.outside, "wire", outsideAddr}, {"ingress", n.outside, n.pods[0], "eth0", podAddr(0).String()}} {
		longest := sniff(way.to, way.link)
		transfer(t, way.from, way.to, way.addr, 200_000)
		if l := longest(); l < ethernetMTU || l > ethernetMTU+frame {
			t.Errorf("%s: the longest packet had %d bytes", way.name, l)
		}
	}
}

// sniff returns a function that tells the longest of the first packets that a
// link saw since.
func sniff(h *nethost.Host, link string) (longest func() int) {
	h.T.Helper()
	fd := -1
	h.Do(func() {
		const all = 0x0300 // ETH_P_ALL in network byte order
		var err error
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, all); err != nil {
			h.T.Error(err)
			return
		}
		l, err := netlink.LinkByName(link)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
		}
		if err != nil {
			h.T.Error(err)
		}
	})
	return func() (most int) {
		defer unix.Close(fd)
		buf := make([]byte, 1<<17)
		for {
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return most
			}
			if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == unix.PACKET_HOST {
				most = max(most, n)
			}
		}
	}
}

// transfer sends size bytes by TCP.
func transfer(t testing.TB, from, to *nethost.Host, addr string, size int) {
	t.Helper()
	got := make(chan error, 1)
	var l net.Listener
	to.Do(func() {
		var err error
		if l, err = net.Listen("tcp", ":7"); err != nil {
			t.Error(err)
		}
	})
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(patient))
			var n int64
			if n, err = io.Copy(io.Discard, c); err == nil && n != int64(size) {
				err = fmt.Errorf("%d bytes came", n)
			}
		}
		got <- err
	}()
	from.Do(func() {
		c, err := net.DialTimeout("tcp", addr+":7", patient)
		if err != nil {
			t.Error(err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(patient))
		_, _ = c.Write(make([]byte, size))
		_ = c.Close()
	})
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestSecondKernelAdoptsProgramsAndTables(t *testing.T) {
	n := newNode(t, 1)
	p := n.limits(bitrate.Gbit, bitrate.Mbit)
	n.apply(p)
	before := n.Run("tc filter show dev veth0 ingress")
	if err := n.kernel.Close(); err != nil {
		t.Fatal(err)
	}
	n.kernel = newKernel(t)
	if r := n.apply(p); r.Changes != 0 {
		t.Errorf("%d changes", r.Changes)
	}
	if after := n.Run("tc filter show dev veth0 ingress"); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

func TestProgramsGoWithTheirUplink(t *testing.T) {
	n := newNode(t, 1)
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit))
	_, id := n.kernel.sets["kedge-out0"].Program(PodEgress)
	n.apply(plan.Plan{})
	testx.Eventually(t, patient, "the program goes", func(context.Context) error {
		s, err := programs(t).Adopt([]uint32{id})
		if err != nil {
			return nil
		}
		_ = s.Close()
		return errors.New("it is still there")
	})
}

func TestRemoveNeedsNoState(t *testing.T) {
	n := newNode(t, 2)
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit, bitrate.Mbit))
	n.Run("ip link add kedge-in9 type ifb")
	n.Do(func() {
		if err := Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if left := n.observe() + n.Run("tc qdisc show | grep -v noqueue || true"); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestHostsTransfersPassItsClass(t *testing.T) {
	n := newNode(t, 1)
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit))
	const size = 300_000
	transfer(t, n.Host, n.outside, outsideAddr, size)
	transfer(t, n.outside, n.Host, "192.0.2.1", size)
	for _, d := range model.Directions {
		if c := n.counter(d, plan.MinorHost); c.Bytes < size {
			t.Errorf("direction %d: %+v", d, c)
		}
	}
}
