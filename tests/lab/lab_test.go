//go:build namespace

package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// serve runs an echo server on port 7 of the host.
func serve(t *testing.T, h *Host) {
	t.Helper()
	l, err := h.Listen("tcp4", ":7")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// dial connects within a second or fails.
func dial(ctx context.Context, h *Host, ip string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return h.DialContext(ctx, "tcp4", net.JoinHostPort(ip, "7"))
}

func reach(t *testing.T, h *Host, ip string) net.Conn {
	t.Helper()
	var c net.Conn
	testx.Eventually(t, 20*time.Second, h.Name()+" reaches "+ip, func(ctx context.Context) error {
		var err error
		if c, err = dial(ctx, h, ip); err != nil {
			return err
		}
		return echo(c, "hello", 2*time.Second)
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo sends the word and wants it back in time.
func echo(c net.Conn, word string, within time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(within))
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	return expect(c, word)
}

func expect(c net.Conn, word string) error {
	buf := make([]byte, len(word))
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	if string(buf) != word {
		return fmt.Errorf("got %q, want %q", buf, word)
	}
	return nil
}

func TestNATLetsOutAndNothingIn(t *testing.T) {
	l := New(t, ServerAndEdges(2))
	server, edge := l.Host("server"), l.Host("edge1")
	serve(t, server)
	serve(t, edge)
	c := reach(t, edge, server.IP())
	if got := c.LocalAddr().String(); !strings.HasPrefix(got, edge.IP()+":") {
		t.Errorf("edge dials from %s", got)
	}
	reach(t, l.Host("edge2"), server.IP())
	// Neither the private address nor the gateway's leads in.
	for _, ip := range []string{edge.IP(), l.Site("site1").plan.wan.String()} {
		if c, err := dial(t.Context(), server, ip); err == nil {
			_ = c.Close()
			t.Errorf("server reached the edge host at %s", ip)
		}
	}
}

func TestServerSeesTheGatewayAddress(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	listener, err := l.Host("server").Listen("tcp4", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := dial(t.Context(), l.Host("edge1"), l.Host("server").IP())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	want := l.Site("site1").plan.wan.String() + ":"
	if got := in.RemoteAddr().String(); !strings.HasPrefix(got, want) {
		t.Errorf("server sees %s, want %s...", got, want)
	}
}

func TestHostsAreSeparate(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge := l.Host("server"), l.Host("edge1")
	for _, dir := range append([]string{"/run", "/etc", "/etc/kedge", "/var/lib", "/var/log", "/usr/local/lib"}, kept...) {
		name := dir + "/mine"
		if err := server.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Error(err)
		}
		if _, err := edge.ReadFile(name); !os.IsNotExist(err) {
			t.Errorf("the other host has %s: %v", name, err)
		}
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("the machine has %s: %v", name, err)
		}
	}
	out, _, err := edge.Run(t.Context(), "sh", "-c", "hostname; cat /etc/hostname; ls /sys/class/net; ls /proc | grep -c '^[0-9]'; ls -d /sys/fs/cgroup/*"+edge.CgroupRoot())
	if err != nil || !strings.HasPrefix(out, "edge1\nedge1\neth0\nlo\n") {
		t.Errorf("host shows %q, %v", out, err)
	}
	for _, h := range mustHierarchies(t) {
		if dir := h.mount + edge.CgroupRoot(); !strings.Contains(out, dir) && h.mount != "/sys/fs/cgroup" {
			t.Errorf("host does not see %s in %q", dir, out)
		}
	}
}

func mustHierarchies(t *testing.T) []hierarchy {
	t.Helper()
	all, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProgramsStartInTheHostsCgroups(t *testing.T) {
	l := New(t, OneServer())
	out, _, err := l.Host("server").Run(t.Context(), "cat", "/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(strings.TrimSpace(line), ":"+l.Host("server").CgroupRoot()+"/procs") {
			t.Errorf("in %s", line)
		}
	}
	if n := strings.Count(out, "\n"); n != len(mustHierarchies(t)) {
		t.Errorf("%d lines: %s", n, out)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	h := New(t, OneServer()).Host("server")
	if _, _, err := h.Run(t.Context(), "sh", "-c", "(sleep 0.2 & sleep 0.1 &) ; exit 0"); err != nil {
		t.Fatal(err)
	}
	testx.Eventually(t, 20*time.Second, "no zombie", func(ctx context.Context) error {
		out, _, err := h.Run(ctx, "sh", "-c", "cat /proc/[0-9]*/stat")
		if err != nil && out == "" {
			return err
		}
		if strings.Contains(out, "sleep") {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}

func TestNamesOfPublicHostsResolve(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	out, errOut, err := l.Host("edge1").Run(t.Context(), "getent", "ahostsv4", "server."+Zone)
	if err != nil || !strings.Contains(out, l.Host("server").IP()) {
		t.Errorf("got %q %q %v", out, errOut, err)
	}
}

func TestPowerOffKeepsTheDisk(t *testing.T) {
	l := New(t, ServerAndEdges(1))
	server, edge := l.Host("server"), l.Host("edge1")
	serve(t, server)
	p, err := edge.Start("sleeper", "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/var/lib/kedge/kept", "/etc/kept", "/run/gone"} {
		if err := edge.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := edge.PowerOff(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := edge.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/var/lib/kedge/kept", "/etc/kept"} {
		if _, err := edge.ReadFile(f); err != nil {
			t.Error(err)
		}
	}
	if _, err := edge.ReadFile("/run/gone"); !os.IsNotExist(err) {
		t.Errorf("memory outlived the power: %v", err)
	}
	reach(t, edge, server.IP())
}

func TestStateShowsWhatAProgramLeft(t *testing.T) {
	h := New(t, OneServer()).Host("server")
	look := func() State {
		s, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := look()
	if more := look().New(before); len(more) != 0 {
		t.Errorf("looking changes the state: %v", more)
	}
	for kind := range kinds {
		if kind != "network namespace" && kind != "nft" && kind != "process" && kind != "file" && kind != "run file" && len(before[kind]) == 0 {
			t.Errorf("no %s is seen", kind)
		}
	}
	if _, err := h.Start("left", "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	script := "ip link add left type bridge && ip link set left up && ip addr add 10.9.0.1/24 dev left && nft add table ip left" +
		" && mkdir -p /run/left /etc/cni/left && mount -t tmpfs left /run/left && iptables -N LEFT && ip netns add left"
	if _, errOut, err := h.Run(t.Context(), "sh", "-c", script); err != nil {
		t.Fatal(err, errOut)
	}
	more := strings.Join(look().New(before), "\n") + "\n"
	for _, want := range []string{
		"link: left\n", "address: left inet 10.9.0.1/24\n", "route: 10.9.0.0/24 dev left", "mount: /run/left tmpfs\n", "iptables: -N LEFT\n",
		"nft: table ip left {\n", "network namespace: left\n", "process: sleep 1000\n", "run file: /run/left\n", "file: /etc/cni/left\n",
	} {
		if !strings.Contains(more, want) {
			t.Errorf("no %q in\n%s", want, more)
		}
	}
}
