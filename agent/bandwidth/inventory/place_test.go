//go:build namespace

package inventory

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/tests/nethost"
)

// site is a host with a pod that hangs on it by a veth pair.
type site struct {
	t         *testing.T
	host, pod *nethost.Host
	kernel    *kernel
}

func newSite(t *testing.T) *site {
	s := &site{t: t, host: nethost.New(t), pod: nethost.New(t)}
	// Numbers of links differ between the two, as they do on real hosts.
	s.host.Run("ip link add br0 type bridge; ip link add br1 type bridge")
	nethost.Cable(s.host, "veth0", s.pod, "eth0")
	s.host.Do(func() { s.kernel = newKernel() })
	if s.kernel.err != nil {
		t.Fatal(s.kernel.err)
	}
	return s
}

// named gives the pod's namespace a name in the file system, as containerd does.
func (s *site) named() string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "ns")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	from := fmt.Sprintf("/proc/self/fd/%d", int(s.pod.NS))
	if err := unix.Mount(from, path, "", unix.MS_BIND, ""); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// holder starts a process in a namespace and returns its pid.
func holder(t *testing.T, h *nethost.Host) int {
	t.Helper()
	var pid int
	h.Do(func() {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		pid = cmd.Process.Pid
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	})
	return pid
}

func (s *site) wantPlace(what, path string, pid int) {
	s.t.Helper()
	got, err := s.kernel.locate(path, pid)
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
		return
	}
	index := s.host.Run("ip -o link show veth0 | cut -d: -f1")
	if fmt.Sprintln(got.link) != index || got.hostNetwork || got.netnsID < 0 {
		s.t.Errorf("%s: %+v, the link has index %s", what, got, index)
	}
}

func TestAPodIsFoundByItsNamespaceOrByAProcess(t *testing.T) {
	s := newSite(t)
	path, pid := s.named(), holder(t, s.pod)
	s.wantPlace("by name", path, 0)
	s.wantPlace("by process", "", pid)
	first, _ := s.kernel.locate(path, 0)
	if err := unix.Unmount(path, 0); err != nil {
		t.Fatal(err)
	}
	s.wantPlace("with the name taken away, which leaves a file", path, pid)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.wantPlace("with the file taken away", path, pid)
	if again, _ := s.kernel.locate("", pid); again != first {
		t.Errorf("%+v became %+v", first, again)
	}
	if got, err := s.kernel.locate("", 0); err == nil || got != nowhere {
		t.Errorf("a pod without anything is at %+v", got)
	}
}

// What runs in the pod with CAP_NET_ADMIN must not get rid of its limits.
func TestAPodCannotHideItsLink(t *testing.T) {
	s := newSite(t)
	path := s.named()
	s.pod.Run("ip link set eth0 down; ip link set eth0 name other; ip link set other up")
	s.wantPlace("renamed", path, 0)
	s.pod.Run("ip link add eth0 type bridge")
	s.wantPlace("with a bridge in its place", path, 0)
	s.pod.Run("ip link del eth0; ip link add eth0 type veth peer name eth9")
	s.wantPlace("with another pair in its place", path, 0)
}

func TestAProcessOfTheHostsNetworkHasNoLink(t *testing.T) {
	s := newSite(t)
	got, err := s.kernel.locate("", holder(t, s.host))
	if err != nil || !got.hostNetwork || got.link != 0 || got.netnsID != -1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A namespace that nobody asked the number of has none before.
func TestANamespaceWithoutANumberGetsOne(t *testing.T) {
	s := newSite(t)
	other := nethost.New(t)
	id, err := s.kernel.netnsID(int(other.NS))
	if err != nil || id < 0 {
		t.Fatalf("number %d, %v", id, err)
	}
	if again, err := s.kernel.netnsID(int(other.NS)); err != nil || again != id {
		t.Errorf("number %d became %d, %v", id, again, err)
	}
	if first, err := s.kernel.netnsID(int(s.pod.NS)); err != nil || first == id {
		t.Errorf("two namespaces have the number %d, %v", first, err)
	}
}

func TestLinksThatAreNoVethPairWithTheHostAreRefused(t *testing.T) {
	s := newSite(t)
	elsewhere, pod := nethost.New(t), nethost.New(t)
	// The other end has an index that is taken here by something else.
	nethost.Cable(elsewhere, "veth0", pod, "eth0")
	if got, err := s.kernel.locate("", holder(t, pod)); err == nil || got.link != 0 {
		t.Errorf("a pair with another machine: %+v, %v", got, err)
	}
	bridged := nethost.New(t)
	bridged.Run("ip link add eth0 type bridge")
	if got, err := s.kernel.locate("", holder(t, bridged)); err == nil || got.link != 0 {
		t.Errorf("a link of another kind: %+v, %v", got, err)
	}
	empty := nethost.New(t)
	if got, err := s.kernel.locate("", holder(t, empty)); err == nil || got.link != 0 {
		t.Errorf("no link: %+v, %v", got, err)
	}
}

func TestVanishedLinksAreTold(t *testing.T) {
	s := newSite(t)
	place, err := s.kernel.locate("", holder(t, s.pod))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan int, 100)
	stop, err := s.kernel.watch(func(link int) { gone <- link })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s.pod.Run("ip link del eth0")
	await(t, gone, place.link)
}

func await(t *testing.T, gone <-chan int, link int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case got := <-gone:
			if got == link {
				return
			}
		case <-deadline:
			t.Fatalf("link %d was not told in 20 s", link)
		}
	}
}

func TestASubscriptionThatFallsBehindIsMadeAnew(t *testing.T) {
	s := newSite(t)
	told, goOn := make(chan int, 100_000), make(chan struct{})
	first := true
	stop, err := s.kernel.watch(func(link int) {
		told <- link
		if first {
			first = false
			<-goOn
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	// While nobody reads, more is told than a socket holds.
	s.host.Run("ip link del br1; for i in $(seq 1000); do echo link set br0 mtu 1400; echo link set br0 mtu 1500; done | ip -batch -")
	close(goOn)
	await(t, told, 0)
	s.host.Run("ip link add br9 index 987654 type bridge; ip link del br9")
	for range 100 {
		// The new subscription may begin after that link was removed.
		select {
		case link := <-told:
			if link == 987654 {
				return
			}
		case <-time.After(200 * time.Millisecond):
			s.host.Run("ip link add br9 index 987654 type bridge; ip link del br9")
		}
	}
	t.Error("after an overflow nothing is told any more")
}
