//go:build namespace

package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/preflight/survey"
	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/nethost"
)

func TestMain(m *testing.M) {
	// It is down in the namespace of the tests only.
	if lo, err := netlink.LinkByName("lo"); err == nil && lo.Attrs().Flags&net.FlagUp == 0 {
		_ = netlink.LinkSetUp(lo)
	}
	os.Exit(nethost.Main(m))
}

// inside runs f in namespaces of a test's own, with its sockets.
func inside(t *testing.T, f func() error) {
	t.Helper()
	testx.NeedRoot(t)
	if err := apart(f); err != nil {
		t.Fatal(err)
	}
}

// picture is what could be left behind.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	for _, p := range survey.Parts(dir) {
		switch p.Name {
		case "links.txt", "routes.txt", "rules.txt", "queues.txt", "ipsets.txt", "nft.txt", "iptables.txt", "mounts.txt", "disk.txt":
			text, err := p.Read(t.Context())
			for line := range strings.Lines(text) {
				// Counters, and the space of a disk that others use, too.
				if !strings.Contains(line, " packets ") && !strings.Contains(line, "blocks") && !strings.HasPrefix(line, "#") {
					out.WriteString(line)
				}
			}
			fmt.Fprintf(&out, "%s %v\n", p.Name, err)
		}
	}
	return out.String()
}

func TestTryingTheKernelLeavesNothingBehind(t *testing.T) {
	testx.NeedRoot(t)
	testx.NeedPrograms(t, "nft", "iptables", "ip6tables")
	dir := t.TempDir()
	cfg := Config{
		Server: true, Node: true, Layout: paths.New(filepath.Join(dir, "kedge")), NodeName: "edge-7", Address: netip.MustParseAddr("192.0.2.1"),
		Plan: clusternet.Default(), Bind: netip.IPv4Unspecified(), Port: 6443, CgroupRoot: "/",
	}
	before := picture(t, dir)
	began := time.Now()
	found := Check(context.Background(), cfg)
	t.Logf("it took %s", time.Since(began))
	if after := picture(t, dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	for _, f := range found {
		if f.ID == finding.Probe {
			t.Errorf("a probe failed: %+v", f)
		}
		// What this project's own tests need is there wherever they run.
		if strings.HasPrefix(string(f.ID), "kernel.") && f.Severity.Worse(finding.Info) {
			t.Errorf("%+v", f)
		}
	}
}

func TestResolverThatHangsIsToldWithinItsTime(t *testing.T) {
	inside(t, func() error {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		mute, err := net.ListenPacket("udp4", "127.0.0.1:53")
		if err != nil {
			return err
		}
		defer func() { _ = mute.Close() }()
		m := newMachine(Config{})
		conn := make(chan net.Conn, 8)
		// The resolver asks from another goroutine: its socket is made here.
		for range cap(conn) {
			c, err := net.Dial("udp4", "127.0.0.1:53")
			if err != nil {
				return err
			}
			conn <- c
		}
		r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return <-conn, nil }}
		m.resolve = func(ctx context.Context, _ netip.Addr, name string) error {
			_, err := r.LookupNetIP(ctx, "ip4", name)
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		expect(t, m.ask(ctx, []netip.Addr{netip.MustParseAddr("127.0.0.1")}), "warning dns.silent: no resolver answers: 127.0.0.1")
		return ctx.Err()
	})
}

func TestFullDiskIsADiskAndNoKernel(t *testing.T) {
	dir := t.TempDir()
	inside(t, func() error {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,nr_inodes=100"); err != nil {
			return err
		}
		_ = os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 64<<10), 0o600) // as much as fits
		if err := tryWrite(filepath.Join(dir, "kedge")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("writing to a full disk: %v", err)
		}
		st, err := statfs(filepath.Join(dir, "kedge"))
		if err != nil {
			return err
		}
		m := fake(nil, nil)
		m.cfg.Needs = 100 << 20
		expect(t, []finding.Finding{m.space(st)}, "error disk.space: a start needs")
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Errorf("left: %v, %v", left, err)
		}
		return nil
	})
}

func TestKernelWithoutAProgramOfTheHost(t *testing.T) {
	testx.NeedRoot(t)
	m := newMachine(Config{Node: true, Layout: paths.New(t.TempDir())})
	m.probe.LookPath = func(string) (string, error) { return "", exec.ErrNotFound }
	for _, p := range []func(context.Context) []finding.Finding{m.nftables, m.iptables, m.firewalls, m.links, m.netfilter} {
		for _, f := range p(t.Context()) {
			if f.Severity.Worse(finding.Info) {
				t.Errorf("without programs: %+v", f)
			}
		}
	}
	expect(t, m.programs(t.Context())[:1], "error programs.nft: no program nft")
}

func TestRulesThatTheKernelLacksAreNamed(t *testing.T) {
	testx.NeedRoot(t)
	testx.NeedPrograms(t, "iptables-restore", "nft")
	lacks := each(t.Context(), []feature{
		{"a match that nobody has", "xt_nobody", "-m nobody"},
		{"comments", "xt_comment", `-m comment --comment "kedge"`},
	}, func(f feature) error {
		return apart(func() error {
			return feed(t.Context(), "*mangle\n:X - [0:0]\n-A X "+f.rule+"\nCOMMIT\n", "/usr/sbin/iptables-restore", "--noflush", "-w", "2")
		})
	})
	if len(lacks) != 1 || !strings.HasPrefix(lacks[0], "a match that nobody has (modprobe xt_nobody): ") {
		t.Errorf("lacks %q", lacks)
	}
}

func TestFirstThreadStaysInTheNamespacesOfTheHost(t *testing.T) {
	testx.NeedRoot(t)
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if err := apart(func() error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if after, err := os.Readlink("/proc/self/ns/net"); err != nil || after != before {
		t.Errorf("the process was in %s and is in %s, %v", before, after, err)
	}
}
