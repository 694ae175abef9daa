package nethost

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a network namespace of a test.
type Host struct {
	T  testing.TB
	NS netns.NsHandle
}

// New makes a host whose loopback is up. Without root the test is skipped.
func New(t testing.TB) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, to make network namespaces")
	}
	h := &Host{T: t}
	OnThread(func() {
		var err error
		if h.NS, err = netns.New(); err != nil {
			t.Errorf("making a network namespace: %v", err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { _ = h.NS.Close() })
	h.Run("ip link set lo up")
	return h
}

// OnThread runs f on a thread of its own, which ends with it. That is never the first
// one of the process: it cannot end, and would stay where f has taken it, with
// /proc/self as its view.
func OnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread is thrown away
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			OnThread(f) // held here, the first thread cannot be taken again
			return
		}
		f()
	}()
	<-done
}

// Do runs f in the host. Sockets that it opens stay there, goroutines that it
// starts do not.
func (h *Host) Do(f func()) {
	h.T.Helper()
	OnThread(func() {
		if err := netns.Set(h.NS); err != nil {
			h.T.Errorf("entering the namespace: %v", err)
			return
		}
		f()
	})
}

// Run returns what a shell command prints. The test ends if it fails.
func (h *Host) Run(command string) string {
	h.T.Helper()
	out, err := h.Try(command)
	if err != nil {
		h.T.Fatalf("%s: %v: %s", command, err, out)
	}
	return out
}

// Try is Run for a command that may fail.
func (h *Host) Try(command string) (out string, err error) {
	h.Do(func() {
		var text []byte
		text, err = exec.Command("sh", "-ec", command).CombinedOutput()
		out = string(text)
	})
	return out, err
}

// Cable joins two hosts by a veth; the names are those of the ends.
func Cable(a *Host, nameA string, b *Host, nameB string) {
	a.T.Helper()
	a.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.NS)}); err != nil {
			a.T.Error(err)
		}
	})
	a.Run("ip link set " + nameA + " up")
	b.Run("ip link set " + nameB + " up")
}

// EchoUDP sends datagrams to addr back to where they came from, until the test
// ends, and tells how many there were.
func (h *Host) EchoUDP(addr string) (heard func() int) {
	h.T.Helper()
	var n atomic.Int32
	h.Do(func() {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			h.T.Error(err)
			return
		}
		h.T.Cleanup(func() { _ = c.Close() })
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
	return func() int { return int(n.Load()) }
}
