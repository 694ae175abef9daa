//go:build namespace

package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// host is a network namespace of the test.
type host struct {
	t  *testing.T
	ns netns.NsHandle
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, to make network namespaces")
	}
	h := &host{t: t}
	onThread(func() {
		ns, err := netns.New()
		if err != nil {
			t.Errorf("making a network namespace: %v", err)
			return
		}
		h.ns = ns
		lo, _ := netlink.LinkByName("lo")
		check(t, netlink.LinkSetUp(lo))
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { h.ns.Close() })
	return h
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread is thrown away
		f()
	}()
	<-done
}

func (h *host) do(f func()) {
	h.t.Helper()
	onThread(func() {
		if err := netns.Set(h.ns); err != nil {
			h.t.Errorf("entering the namespace: %v", err)
			return
		}
		f()
	})
}

func (h *host) run(command string) string {
	h.t.Helper()
	var out []byte
	h.do(func() {
		var err error
		if out, err = exec.Command("sh", "-ec", command).CombinedOutput(); err != nil {
			h.t.Errorf("%s: %v: %s", command, err, out)
		}
	})
	return string(out)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// cable joins two hosts by a veth; the names are those of the ends.
func cable(a *host, nameA string, b *host, nameB string) {
	a.t.Helper()
	a.do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		check(a.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.ns)}))
	})
	a.run("ip link set " + nameA + " up")
	b.run("ip link set " + nameB + " up")
}

// addPod hangs a namespace on the bridge as the CNI plugin does.
func (h *host) addPod(name, addr, gateway string) *host {
	pod := newHost(h.t)
	cable(h, "veth"+name, pod, "eth0")
	h.run("ip link set veth" + name + " master kedge0")
	h.run(portFlags("veth" + name))
	pod.run("ip addr add " + addr + "/24 dev eth0; ip route add default via " + gateway)
	return pod
}

// portFlags is the command that sets what the CNI plugin would set.
func portFlags(link string) string {
	return "if [ $(cat /proc/sys/net/ipv4/conf/kedge0/proxy_arp_pvlan) = 1 ]; then bridge link set dev " + link +
		" isolated on; else bridge link set dev " + link + " hairpin on; fi"
}

// answer serves TCP at addr, telling each client the address it came from.
func (h *host) answer(addr string) {
	h.do(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			h.t.Error(err)
			return
		}
		h.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprint(c, host)
				c.Close()
			}
		}()
	})
}

// ask returns what answer told, or the error as text.
func (h *host) ask(addr string) (got string) {
	h.do(func() {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			got = err.Error()
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		text, err := io.ReadAll(c)
		if got = string(text); err != nil {
			got = err.Error()
		}
	})
	return got
}

// echo serves TCP at addr, sending back what it gets; the result ends it.
func (h *host) echo(addr string) (stop func()) {
	stop = func() {}
	h.do(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			h.t.Error(err)
			return
		}
		stop = func() { l.Close() }
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(c, c)
					c.Close()
				}()
			}
		}()
	})
	return stop
}

// echoUDP sends datagrams back, and tells how many there were.
func (h *host) echoUDP(addr string) (heard func() string) {
	var n atomic.Int32
	h.do(func() {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			h.t.Error(err)
			return
		}
		h.t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 64<<10)
			for {
				length, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				n.Add(1)
				_, _ = c.WriteTo(buf[:length], from)
			}
		}()
	})
	return func() string { return fmt.Sprintf("%d probes", n.Load()) }
}

// talk opens a connection to an echo; the result sends a text and returns what
// came back.
func (h *host) talk(addr string) func(text string) string {
	var c net.Conn
	h.do(func() {
		var err error
		if c, err = net.DialTimeout("tcp", addr, 10*time.Second); err != nil {
			h.t.Error(err)
		}
	})
	if c == nil {
		return func(string) string { return "" }
	}
	h.t.Cleanup(func() { c.Close() })
	return func(text string) string {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, text); err != nil {
			return err.Error()
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil {
			return err.Error()
		}
		return string(got)
	}
}

// node is a host with a pod network.
type node struct {
	*host
	cfg Config
	k   kernel
}

func newNode(t *testing.T) *node {
	n := &node{host: newHost(t), cfg: testConfig()}
	dir := t.TempDir()
	n.cfg.ConfDir, n.cfg.StateDir = filepath.Join(dir, "net.d"), filepath.Join(dir, "state")
	return n
}

func (n *node) apply(f Facts) {
	n.t.Helper()
	n.do(func() {
		host, err := observe()
		if err != nil {
			n.t.Error(err)
			return
		}
		f.Uplinks, f.MTU, f.BridgeFilter, f.Relay = host.Uplinks, host.MTU, host.BridgeFilter, host.Relay
		if f.Direct == nil {
			f.Direct = onLinkPeers(f)
		}
		plan, err := NewPlan(n.cfg, f)
		if err != nil {
			n.t.Error(err)
			return
		}
		check(n.t, n.k.apply(context.Background(), n.cfg, plan))
	})
	if n.t.Failed() {
		n.t.FailNow()
	}
}

func (n *node) removeAll() {
	n.t.Helper()
	n.do(func() { check(n.t, RemoveAll(context.Background())) })
}

// state is everything of the kernel that the package may change, as text.
func (h *host) state() string {
	h.t.Helper()
	return h.run(`nft list tables | sort | while read table; do nft -s list $table; done; ip -d route | sed "s/ linkdown//"; ip -o -4 addr show | sed 's/^[0-9]*: //; s/ brd [0-9.]*//; s/valid_lft.*//'; ip -o link | cut -d' ' -f2 | sort;
		cat /proc/sys/net/ipv4/conf/kedge0/proxy_arp_pvlan 2>/dev/null || true`)
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func containsText(text, part string) bool { return strings.Contains(text, part) }

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}
