//go:build namespace

package network

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/nethost"
)

// host is a network namespace of the test.
type host struct{ *nethost.Host }

func newHost(t testing.TB) *host { return &host{nethost.New(t)} }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// addPod hangs a namespace on the bridge as the CNI plugin does.
func (h *host) addPod(name, addr, gateway string) *host {
	pod := newHost(h.T)
	nethost.Cable(h.Host, "veth"+name, pod.Host, "eth0")
	h.Run("ip link set veth" + name + " master kedge0")
	h.Run(portFlags("veth" + name))
	pod.Run("ip addr add " + addr + "/24 dev eth0; ip route add default via " + gateway)
	return pod
}

// portFlags is the command that sets what the CNI plugin would set.
func portFlags(link string) string {
	return "if [ $(cat /proc/sys/net/ipv4/conf/kedge0/proxy_arp_pvlan) = 1 ]; then bridge link set dev " + link +
		" isolated on; else bridge link set dev " + link + " hairpin on; fi"
}

// answer serves TCP at addr, telling each client the address it came from.
func (h *host) answer(addr string) {
	h.Do(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			h.T.Error(err)
			return
		}
		h.T.Cleanup(func() { l.Close() })
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
	h.Do(func() {
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
	h.Do(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			h.T.Error(err)
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

// talk opens a connection to an echo; the result sends a text and returns what
// came back.
func (h *host) talk(addr string) func(text string) string {
	var c net.Conn
	h.Do(func() {
		var err error
		if c, err = net.DialTimeout("tcp", addr, 10*time.Second); err != nil {
			h.T.Error(err)
		}
	})
	if c == nil {
		return func(string) string { return "" }
	}
	h.T.Cleanup(func() { c.Close() })
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
	n.T.Helper()
	n.Do(func() {
		host, err := observe()
		if err != nil {
			n.T.Error(err)
			return
		}
		f.Uplinks, f.MTU, f.BridgeFilter, f.Relay = host.Uplinks, host.MTU, host.BridgeFilter, host.Relay
		if f.Direct == nil {
			f.Direct = onLinkPeers(f)
		}
		plan, err := NewPlan(n.cfg, f)
		if err != nil {
			n.T.Error(err)
			return
		}
		check(n.T, n.k.apply(context.Background(), n.cfg, plan))
	})
	if n.T.Failed() {
		n.T.FailNow()
	}
}

func (n *node) removeAll() {
	n.T.Helper()
	n.Do(func() { check(n.T, RemoveAll(context.Background())) })
}

// state is everything of the kernel that the package may change, as text.
func (h *host) state() string {
	h.T.Helper()
	return h.Run(`nft list tables | sort | while read table; do nft -s list $table; done; ip -d route | sed "s/ linkdown//"; ip -o -4 addr show | sed 's/^[0-9]*: //; s/ brd [0-9.]*//; s/valid_lft.*//'; ip -o link | cut -d' ' -f2 | sort;
		cat /proc/sys/net/ipv4/conf/kedge0/proxy_arp_pvlan 2>/dev/null || true`)
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func containsText(text, part string) bool { return strings.Contains(text, part) }

func contains(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s lacks %q:\n%s", what, p, text)
		}
	}
}
