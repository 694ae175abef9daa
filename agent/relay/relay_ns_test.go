//go:build namespace

package relay

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/network/tun"
	"github.com/kedge-io/kedge/tunnel/relay"
)

func TestPodsOfTwoNodesPingEachOther(t *testing.T) {
	_, nodes := site(t, 3)
	for _, a := range nodes {
		for _, b := range nodes {
			for _, size := range []string{"0", "56", "1372", "60000"} {
				if a == b {
					continue
				}
				if out := a.pod.Run("ping -c 2 -i 0.01 -W 5 -s " + size + " " + b.addr()); !strings.Contains(out, " 0% packet loss") {
					t.Errorf("%s to %s, %s bytes: %s", a.name, b.name, size, out)
				}
			}
		}
	}
}

func TestBulkOfTCPArrivesWholeAndFromItsOwnAddress(t *testing.T) {
	_, nodes := site(t, 3)
	for _, n := range nodes {
		n.pod.listen(":5001", sink)
	}
	var wg sync.WaitGroup
	for _, a := range nodes {
		for _, b := range nodes {
			if a == b {
				continue
			}
			wg.Go(func() {
				for _, size := range []int64{1, 1399, 64 << 20} {
					if err := a.pod.pour(b.addr()+":5001", a.addr(), size); err != nil {
						t.Errorf("%s to %s, %d bytes: %v", a.name, b.name, size, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestHostReachesPodsWithItsClusterAddress(t *testing.T) {
	_, nodes := site(t, 2)
	a, b := nodes[0], nodes[1]
	b.pod.listen(":5001", sink)
	if err := a.pour(b.addr()+":5001", "10.42.1.1", 1<<20); err != nil {
		t.Errorf("from the host to a pod: %v", err)
	}
	b.listen("10.42.2.1:5001", sink)
	if err := a.pod.pour("10.42.2.1:5001", a.addr(), 1<<20); err != nil {
		t.Errorf("from a pod to the host: %v", err)
	}
	if err := a.pour("10.42.2.1:5001", "10.42.1.1", 1<<20); err != nil {
		t.Errorf("from host to host: %v", err)
	}
}

func TestManySmallMessages(t *testing.T) {
	_, nodes := site(t, 2)
	a, b := nodes[0], nodes[1]
	b.pod.listen(":5001", func(c *net.TCPConn) {
		buf := make([]byte, 1)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			_, _ = c.Write(buf)
		}
	})
	c := a.pod.mustDial("tcp", b.addr()+":5001")
	for i := range 2000 {
		want := []byte{byte(i)}
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1)
		if _, err := c.Read(got); err != nil || got[0] != want[0] {
			t.Fatalf("message %d: %v, %v", i, got, err)
		}
	}
}

func TestDatagramsOfAllSizes(t *testing.T) {
	_, nodes := site(t, 2)
	nodes[1].pod.EchoUDP(":5001")
	for _, size := range []int{1, 100, mtu - 28, mtu - 27, 9000, 65507} {
		if err := nodes[0].pod.askUDP(nodes[1].addr()+":5001", size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestManyDatagramsInOnePacket uses UDP segmentation offload from pod to pod.
func TestManyDatagramsInOnePacket(t *testing.T) {
	_, nodes := site(t, 2)
	const segment, count = 1000, 40
	got := make(chan int, count)
	nodes[1].pod.Do(func() {
		c, err := net.ListenPacket("udp", ":5001")
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				got <- n
			}
		}()
	})
	c := nodes[0].pod.mustDial("udp", nodes[1].addr()+":5001").(*net.UDPConn)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, segment); err != nil {
			t.Skipf("missing: UDP segmentation offload: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, segment*count)); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		select {
		case n := <-got:
			if n != segment {
				t.Errorf("datagram %d has %d bytes", i, n)
			}
		case <-time.After(patience):
			t.Fatalf("%d datagrams came", i)
		}
	}
}

func TestPathMTUIsThatOfTheBridge(t *testing.T) {
	_, nodes := site(t, 2)
	a, b := nodes[0], nodes[1]
	a.pod.Run(fmt.Sprintf("ping -c 1 -W 5 -M do -s %d %s", mtu-28, b.addr()))
	// A pod whose own link is wider learns what fits from its node.
	a.Run("ip link set veth1 mtu 9000; ip link set kedge0 mtu 9000")
	a.pod.Run("ip link set eth0 mtu 9000")
	if out, err := a.pod.Try(fmt.Sprintf("ping -c 1 -W 5 -M do -s %d %s", mtu-27, b.addr())); err == nil || !strings.Contains(out, fmt.Sprintf("mtu = %d", mtu)) {
		t.Errorf("%v: %s", err, out)
	}
	// A narrower bridge at the other end reports through the relay.
	a.Run("ip link set kedge-relay mtu 9000")
	b.pod.listen(":5001", sink)
	if err := a.pod.pour(b.addr()+":5001", a.addr(), 8<<20); err != nil {
		t.Error(err)
	}
}

func TestHostileSourceStopsAtTheSwitchAndAtTheNode(t *testing.T) {
	sw, nodes := site(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	// A hostile node sends past its own check.
	forged := []byte{9: 0}
	forged = append(forged, udpPacket("10.42.3.5", b.addr())...)
	sw.From(a.name, forged)
	for _, n := range sw.Stats().Nodes {
		if n.Node == a.name && n.Dropped[relay.ForeignSource] != 1 {
			t.Errorf("%+v", n)
		}
		if n.Node == b.name && n.PacketsOut != 0 {
			t.Errorf("it went on: %+v", n)
		}
	}
	// An honest node does not even send: its pod took a foreign address.
	a.Run("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/kedge0/rp_filter")
	a.pod.Run("ip addr add 10.42.3.5/32 dev lo; ping -c 1 -W 1 -I 10.42.3.5 " + b.addr() + " || true")
	if a.relay.Stats().RefusedOut == 0 {
		t.Errorf("%+v", a.relay.Stats())
	}
	c.pod.Run("ping -c 1 -W 5 " + b.addr())
}

// udpPacket is an IPv4 packet with an empty datagram.
func udpPacket(from, to string) []byte {
	ip := make([]byte, 28)
	ip[0], ip[3], ip[8], ip[9] = 0x45, 28, 64, 17
	copy(ip[12:], netip.MustParseAddr(from).AsSlice())
	copy(ip[16:], netip.MustParseAddr(to).AsSlice())
	return ip
}

// gate is a link that may take nothing for a while.
type gate struct {
	Link
	shut atomic.Bool
}

func (g *gate) Send(p []byte) bool { return !g.shut.Load() && g.Link.Send(p) }

func TestConnectionsOutliveACutLinkAndARestartOfTheDaemon(t *testing.T) {
	sw := newSwitch(t)
	a, b := newNode(t, 1), newNode(t, 2)
	setRoutes(sw, a, b)
	way := &gate{Link: relay.NewLocal(sw, a.name)}
	a.start(way)
	b.start(relay.NewLocal(sw, b.name))
	b.pod.listen(":5001", func(c *net.TCPConn) {
		buf := make([]byte, 4)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			_, _ = c.Write(buf[:n])
		}
	})
	c := a.pod.mustDial("tcp", b.addr()+":5001")
	say := func(what string, trouble, mend func()) {
		trouble()
		if _, err := c.Write([]byte(what)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		mend()
		got := make([]byte, 4)
		if n, err := c.Read(got); err != nil || string(got[:n]) != what {
			t.Fatalf("%s: %q, %v", what, got, err)
		}
	}
	say("well", func() {}, func() {})
	say("cut ", func() { way.shut.Store(true) }, func() {
		eventually(t, "a lost packet", func() bool { return a.relay.Stats().Lost > 0 })
		way.shut.Store(false)
	})
	links := a.Run("ip -o link show kedge-relay")
	say("away", func() { a.stop() }, func() { a.start(way) })
	if now := a.Run("ip -o link show kedge-relay"); strings.Split(now, ":")[0] != strings.Split(links, ":")[0] {
		t.Errorf("the device is another one: %s, was %s", now, links)
	}
	if routes := a.Run("ip route show dev kedge-relay"); !strings.Contains(routes, cluster) {
		t.Errorf("the route is gone: %s", routes)
	}
}

func TestDeviceThatWasDeletedComesBack(t *testing.T) {
	sw, nodes := site(t, 2)
	a, b := nodes[0], nodes[1]
	_ = sw
	a.Run("ip link delete kedge-relay")
	eventually(t, "the device", func() bool {
		_, err := a.Try("ip route replace " + cluster + " dev kedge-relay metric 200")
		return err == nil
	})
	eventually(t, "an answer", func() bool {
		_, err := a.pod.Try("ping -c 1 -W 1 " + b.addr())
		return err == nil
	})
}

func TestRemoveTakesTheDeviceAndNothingElse(t *testing.T) {
	n := newNode(t, 1)
	n.Do(func() {
		if err := tun.Remove("kedge-relay"); err != nil {
			t.Errorf("nothing to remove: %v", err)
		}
	})
	n.start(relay.NewLocal(newSwitch(t), n.name))
	n.stop()
	n.Run("ip link show kedge-relay")
	n.Do(func() {
		if err := tun.Remove("kedge-relay"); err != nil {
			t.Error(err)
		}
	})
	n.Run("! ip link show kedge-relay; ip link add kedge-relay type bridge")
	n.Do(func() {
		if err := tun.Remove("kedge-relay"); err != nil {
			t.Error(err)
		}
		if _, err := tun.Open("kedge-relay"); err == nil || !strings.Contains(err.Error(), "ip link delete kedge-relay") {
			t.Errorf("error %v, want one with the remedy", err)
		}
	})
	n.Run("ip link show kedge-relay")
}

func TestSecondDaemonIsToldOfTheFirst(t *testing.T) {
	n := newNode(t, 1)
	n.start(relay.NewLocal(newSwitch(t), n.name))
	n.Do(func() {
		if _, err := tun.Open("kedge-relay"); err == nil || !strings.Contains(err.Error(), "another kedge") {
			t.Errorf("error %v", err)
		}
	})
}

func TestHostWithoutTUNIsANodeWithoutRelay(t *testing.T) {
	n := newNode(t, 1)
	n.Do(func() {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		var reported error
		r := New(Config{
			Link: relay.NewLocal(newSwitch(t), n.name), Device: "kedge-relay", Bridge: "kedge0",
			Report: func(err error) { reported = err },
		}, logger(t))
		ctx, ready := stopWhenReady()
		if err := r.Run(ctx, ready); err != nil {
			t.Error(err)
		}
		if reported == nil || !strings.Contains(reported.Error(), "modprobe tun") {
			t.Errorf("reported %v", reported)
		}
	})
}
