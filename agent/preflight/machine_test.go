package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/paths"
)

// today is what the clock of the fake machine shows.
var today = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// fake is a machine on which all is well: files by name, and what programs print.
func fake(files map[string]string, programs map[string]string) *machine {
	all := fstest.MapFS{}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p := host.Probe{
		Files: all,
		LookPath: func(name string) (string, error) {
			if _, ok := programs[name]; !ok {
				return "", exec.ErrNotFound
			}
			return "/sbin/" + name, nil
		},
		Run: func(_ context.Context, path string, _ ...string) (string, error) {
			return programs[strings.TrimPrefix(path, "/sbin/")], nil
		},
		Overlay: func(string) error { return nil }, Writable: func(string) error { return nil },
		MTU: func(string) (int, error) { return 1500, nil },
	}
	return &machine{
		cfg:    Config{Node: true, Layout: paths.New(""), NodeName: "edge-7", Plan: clusternet.Default(), CgroupRoot: "/", Bind: netip.IPv4Unspecified(), Port: 6443},
		probe:  p,
		wall:   func() time.Time { return today },
		listen: func(string, string) error { return nil },
		statfs: func(string) (unix.Statfs_t, error) {
			return unix.Statfs_t{Bsize: 4096, Blocks: 1 << 24, Bavail: 1 << 23, Files: 1000, Ffree: 900}, nil
		},
		write:   func(string) error { return nil },
		adjtime: func() (int, int32, error) { return unix.TIME_OK, 0, nil },
		nofile:  func() uint64 { return 1 << 20 },
		inotify: func() error { return nil },
		resolve: func(context.Context, netip.Addr, string) error { return nil },
		lookup:  func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no lookups here") },
	}
}

// expect compares ids and severities of what is not well; parts of texts after a
// colon.
func expect(t *testing.T, got []finding.Finding, want ...string) {
	t.Helper()
	var have []string
	for _, f := range got {
		if f.Severity != finding.OK {
			have = append(have, fmt.Sprintf("%s %s: %s", f.Severity, f.ID, f.What))
		}
	}
	ok := len(have) == len(want)
	for i := range min(len(have), len(want)) {
		head, part, _ := strings.Cut(want[i], ": ")
		ok = ok && strings.HasPrefix(have[i], head+": ") && strings.Contains(have[i], part)
	}
	if !ok {
		t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(have, "\n\t"), strings.Join(want, "\n\t"))
	}
	for _, f := range got {
		if _, known := finding.Lookup(f.ID); !known {
			t.Errorf("%s is not in the catalogue", f.ID)
		}
		if f.Severity != finding.OK && f.Remedy == "" {
			t.Errorf("%s has no remedy", f.ID)
		}
	}
}

func TestProbeThatHangsIsAFindingAndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		began := time.Now()
		got := run(t.Context(), []probe{
			{"a file system of the network", time.Second, func(context.Context) []finding.Finding { <-release; return nil }},
			{"a slow one", 2 * time.Second, func(ctx context.Context) []finding.Finding {
				<-ctx.Done()
				return one(finding.ResolverSilent, finding.Warning, "nobody answers")
			}},
			{"a quick one", time.Second, func(context.Context) []finding.Finding { return one(finding.Swap, finding.OK, "no swap") }},
		})
		expect(t, got, "warning dns.silent: nobody", "warning host.probe: a file system of the network took longer than 1s")
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		close(release)
	})
}

func TestMachineOnWhichAllIsWell(t *testing.T) {
	m := fake(map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0-18-amd64\n", "dev/kmsg": "", "proc/self/status": "CapEff:\t000001ffffffffff\nSeccomp:\t0\n",
		"proc/self/mountinfo":                    "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n30 25 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n31 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"sys/fs/cgroup/cgroup.controllers":       "cpuset cpu io memory pids\n",
		"sys/fs/cgroup/cgroup.subtree_control":   "cpuset cpu io memory pids\n",
		"proc/sys/fs/inotify/max_user_instances": "1024", "proc/sys/fs/inotify/max_user_watches": "100000",
		"proc/meminfo": "MemTotal: 2000000 kB\nSwapTotal: 0 kB\n", "proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0\t00000000\t01020304\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
		"etc/resolv.conf": "nameserver 192.0.2.53\nsearch lan\n", "proc/net/if_inet6": "",
	}, map[string]string{
		"nft": "nftables v1.0.6 (Lester Gooch #5)\n", "mount": "", "umount": "",
		"iptables": "iptables v1.8.9 (nf_tables)\n", "iptables-save": "iptables-save v1.8.9 (nf_tables)\n", "iptables-restore": "iptables-restore v1.8.9 (nf_tables)\n",
		"ip6tables": "ip6tables v1.8.9 (nf_tables)\n", "ip6tables-save": "ip6tables-save v1.8.9 (nf_tables)\n", "ip6tables-restore": "ip6tables-restore v1.8.9 (nf_tables)\n",
	})
	m.cfg.Address = netip.MustParseAddr("192.0.2.7")
	for _, look := range []func(context.Context) []finding.Finding{
		m.kernelBasics, m.programs, m.clock, m.disk, m.memory, m.ports, m.uplink, m.resolvers, m.name, m.cgroups, m.limits,
	} {
		expect(t, look(t.Context()))
	}
}

func TestOrdinaryUserIsToldAndTheKernelIsNotTried(t *testing.T) {
	m := fake(map[string]string{"proc/sys/kernel/osrelease": "6.1.0", "dev/kmsg": "", "proc/self/mountinfo": "1 1 8:1 / / rw shared:1 - ext4 x rw\n"}, nil)
	m.probe.UID = 1000
	m.probe.Writable = func(string) error { return fs.ErrPermission }
	m.write = func(string) error { return fs.ErrPermission }
	expect(t, m.kernelBasics(t.Context()), "error host.root: user id 1000")
	for _, look := range []func(context.Context) []finding.Finding{m.overlay, m.links, m.nftables, m.iptables, m.netfilter, m.shaping, m.firewalls} {
		if got := look(t.Context()); got != nil {
			t.Errorf("an ordinary user was told %v", got)
		}
	}
	expect(t, m.disk(t.Context()), "info disk.writable: for this user", "info disk.run: ext4")
}

func TestKernelsAndContainers(t *testing.T) {
	for release, want := range map[string]string{"5.12.9": "error host.kernel: older than 5.13", "5.13.0-rc1": "", "4.19.0": "error host.kernel: 4.19", "6.1": "", "huh": "info host.kernel: huh", "5.x": "info host.kernel: 5.x"} {
		var list []string
		if want != "" {
			list = []string{want}
		}
		expect(t, []finding.Finding{judgeRelease(release)}, list...)
	}
	m := fake(map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0", "proc/self/mountinfo": "1 1 8:1 / / rw - ext4 x rw\n", "proc/self/status": "CapEff:\t0\n",
		"sys/fs/selinux/enforce": "1", "proc/sys/net/ipv4/ip_forward": "0\n",
	}, nil)
	m.probe.Writable = func(string) error { return syscall.EROFS }
	expect(t, m.kernelBasics(t.Context()), "error host.kmsg: no /dev/kmsg", "info host.mount-propagation: private", "warning host.selinux: enforcing",
		"warning host.seccomp: no seccomp", `error host.sysctl: net.ipv4.ip_forward is "0"`)
}

func TestControlGroups(t *testing.T) {
	const v2 = "31 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	all := "cpuset cpu io memory pids\n"
	for name, c := range map[string]struct {
		files    map[string]string
		readonly bool
		want     []string
	}{
		"none":              {map[string]string{"proc/self/mountinfo": ""}, false, []string{"error host.cgroup: no control groups"}},
		"memory is off":     {map[string]string{"proc/self/mountinfo": v2, "sys/fs/cgroup/cgroup.controllers": "cpuset cpu pids", "sys/fs/cgroup/cgroup.subtree_control": all}, false, []string{"error host.cgroup-controllers: not available: memory"}},
		"hybrid":            {map[string]string{"proc/self/mountinfo": v2 + "40 25 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuset,memory,pids\n"}, false, []string{"info host.cgroup: hybrid"}},
		"read-only":         {map[string]string{"proc/self/mountinfo": v2, "sys/fs/cgroup/cgroup.controllers": all}, true, []string{"error host.cgroup-delegation: cannot be written"}},
		"internal process":  {map[string]string{"proc/self/mountinfo": v2, "sys/fs/cgroup/cgroup.controllers": all, "sys/fs/cgroup/cgroup.type": "domain", "sys/fs/cgroup/cgroup.procs": "1\n", "sys/fs/cgroup/cgroup.subtree_control": "cpu"}, false, []string{"error host.cgroup-delegation: has processes"}},
		"root of the host":  {map[string]string{"proc/self/mountinfo": v2, "sys/fs/cgroup/cgroup.controllers": all, "sys/fs/cgroup/cgroup.procs": "1\n", "sys/fs/cgroup/cgroup.subtree_control": "cpu"}, false, nil},
		"version 1 of old":  {map[string]string{"proc/self/mountinfo": "40 25 0:30 / /sys/fs/cgroup/all rw - cgroup cgroup rw,cpu,cpuset,memory,pids\n"}, false, []string{"info host.cgroup: v1"}},
		"handed down to it": {map[string]string{"proc/self/mountinfo": v2, "sys/fs/cgroup/cgroup.controllers": all, "sys/fs/cgroup/cgroup.type": "domain", "sys/fs/cgroup/cgroup.subtree_control": all}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := fake(c.files, nil)
			if c.readonly {
				m.probe.Writable = func(string) error { return syscall.EROFS }
			}
			expect(t, m.cgroups(t.Context()), c.want...)
		})
	}
}

func TestPrograms(t *testing.T) {
	expect(t, fake(nil, nil).programs(t.Context()), "error programs.nft: no program nft", "error programs.iptables: no program iptables", "error programs.mount: no program mount")
	m := fake(map[string]string{"proc/sys/kernel/modprobe": "/sbin/modprobe", "proc/modules": ""}, map[string]string{
		"nft": "nftables v1.0.0 (Fearless Fosdick)", "mount": "", "umount": "",
		"iptables": "iptables v1.8.9 (nf_tables)", "iptables-save": "iptables-save v1.8.9 (legacy)", "iptables-restore": "iptables-restore v1.8.9 (nf_tables)",
	})
	expect(t, m.programs(t.Context()), "error programs.nft: at least 1.0.1", "error programs.iptables: do not see each other", "info programs.modprobe: /sbin/modprobe")
}

func TestClock(t *testing.T) {
	m := fake(nil, nil)
	m.cfg.Built = today.Add(time.Hour)
	expect(t, m.clock(t.Context()), "warning time.clock: built at")
	m.cfg.Built = today.Add(-time.Hour)
	m.probe.Files = fstest.MapFS{"dev/ptp0": {}}
	m.adjtime = func() (int, int32, error) { return unix.TIME_ERROR, unix.STA_UNSYNC, nil }
	if got := m.clock(t.Context()); len(got) != 2 || got[1].ID != finding.TimeSync || got[1].Severity == finding.OK {
		t.Errorf("unsynchronised: %v", got)
	}
	m.adjtime = func() (int, int32, error) { return 0, 0, syscall.EPERM } // in a container
	expect(t, m.clock(t.Context()))
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"Edge_7": "error host.name: Edge_7", "localhost": "warning host.name: every machine", "raspberrypi": "info host.name: image", "edge-7.site.example": ""} {
		m := fake(nil, nil)
		m.cfg.NodeName = name
		if want == "" {
			expect(t, m.name(t.Context()))
		} else {
			expect(t, m.name(t.Context()), want)
		}
	}
}
