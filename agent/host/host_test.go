package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	hybridMounts = `25 1 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
27 25 0:25 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children
28 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
29 25 0:27 / /sys/fs/cgroup/pids rw shared:7 - cgroup cgroup rw,pids
30 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
`
	unifiedBeside = "31 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	unified       = "31 25 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"
	route         = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
		"wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
		"eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
)

// edge is a host on which nothing is missing.
func edge() (Probe, fstest.MapFS) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/sys/kernel/osrelease":                   "6.1.0-18-arm64\n",
		"proc/self/mountinfo":                         unified,
		"sys/fs/cgroup/cgroup.controllers":            "cpuset cpu io memory hugetlb pids\n",
		"proc/self/status":                            "Name:\tx\nCapEff:\t000001ffffffffff\n",
		"proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
		"proc/sys/fs/inotify/max_user_instances":      "512\n",
		"proc/sys/fs/inotify/max_user_watches":        "65536\n",
		"proc/swaps":                                  "Filename\tType\tSize\tUsed\tPriority\n",
		"proc/meminfo":                                "MemTotal:        1986728 kB\nMemFree: 1 kB\n",
		"proc/net/route":                              route,
		"run/systemd/system/x":                        "",
		"dev/net/tun":                                 "",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Probe{
		Files: files, UID: 0,
		LookPath: func(name string) (string, error) { return "/usr/sbin/" + name, nil },
		Run: func(_ context.Context, path string, args ...string) (string, error) {
			switch path + " " + args[0] {
			case "/usr/sbin/nft --version":
				return "nftables v1.0.6 (Lester Gooch #5)\n", nil
			case "/usr/sbin/iptables --version":
				return "iptables v1.8.9 (nf_tables)\n", nil
			}
			return "", nil
		},
		Overlay:  func(string) error { return nil },
		Writable: func(string) error { return nil },
		DiskFree: func(string) (uint64, error) { return 10 << 30, nil },
		MTU:      func(string) (int, error) { return 1400, nil },
	}, files
}

func TestGoodHostNeedsNothing(t *testing.T) {
	p, _ := edge()
	f := p.Detect(t.Context(), "/var/lib/kedge")
	if err := f.Preflight(); err != nil {
		t.Error(err)
	}
	for _, c := range f.Adaptations() {
		t.Errorf("unexpected: %+v", c)
	}
	if f.Kernel != "6.1.0-18-arm64" || !f.SystemdCgroup() || f.Uplink != "eth0" || f.UplinkMTU != 1400 {
		t.Errorf("facts: %+v", f)
	}
	if f.NFT.Version != "1.0.6" || f.IPTables.Version != "1.8.9" || f.IPTables.Backend != "nf_tables" {
		t.Errorf("programs: %+v %+v", f.NFT, f.IPTables)
	}
	if f.MemoryBytes != 1986728<<10 {
		t.Errorf("memory %d", f.MemoryBytes)
	}
}

func TestHostFindings(t *testing.T) {
	set := func(name, text string) func(*Probe, fstest.MapFS) {
		return func(_ *Probe, m fstest.MapFS) { m[name] = &fstest.MapFile{Data: []byte(text)} }
	}
	del := func(name string) func(*Probe, fstest.MapFS) {
		return func(_ *Probe, m fstest.MapFS) { delete(m, name) }
	}
	absent := func(program string) func(*Probe, fstest.MapFS) {
		return func(p *Probe, _ fstest.MapFS) {
			p.LookPath = func(name string) (string, error) {
				if name == program {
					return "", exec.ErrNotFound
				}
				return "/usr/sbin/" + name, nil
			}
		}
	}
	for name, tc := range map[string]struct {
		change    func(*Probe, fstest.MapFS)
		preflight string // part of the only preflight problem
		condition string // name of the only condition that is not OK
		status    Status
	}{
		"cgroup v1":     {set("proc/self/mountinfo", hybridMounts), "", "CgroupMode", Adapted},
		"cgroup hybrid": {set("proc/self/mountinfo", hybridMounts+unifiedBeside), "", "CgroupMode", Adapted},
		"no cgroups":    {set("proc/self/mountinfo", ""), "mount cgroup2", "", ""},
		"no memory":     {set("sys/fs/cgroup/cgroup.controllers", "cpuset cpu pids\n"), "controllers memory are not available", "", ""},
		"no capability": {set("proc/self/status", "CapEff:\t000001fffeffffff\n"), "", "OOMScore", Adapted},
		"no overlay":    {func(p *Probe, _ fstest.MapFS) { p.Overlay = func(string) error { return errors.New("no such device") } }, "", "Snapshotter", Adapted},
		"no bridge nf":  {del("proc/sys/net/bridge/bridge-nf-call-iptables"), "", "", ""},
		"no tun":        {del("dev/net/tun"), "", "PodRelay", Degraded},
		"few inotify":   {set("proc/sys/fs/inotify/max_user_instances", "128\n"), "", "Inotify", Degraded},
		"swap":          {set("proc/swaps", "Filename Type Size Used Priority\n/dev/dm-1 partition 1048572 0 -2\n"), "", "Swap", Adapted},
		"sysctl":        {func(p *Probe, _ fstest.MapFS) { p.Writable = func(string) error { return errors.New("read-only") } }, "", "Sysctl", Adapted},
		"no route":      {set("proc/net/route", "Iface\tDestination\n"), "", "Uplink", Degraded},
		"disk":          {func(p *Probe, _ fstest.MapFS) { p.DiskFree = func(string) (uint64, error) { return 1 << 20, nil } }, "", "Disk", Degraded},
		"memory":        {set("proc/meminfo", "MemTotal: 250000 kB\n"), "", "Memory", Degraded},
		"nft missing":   {absent("nft"), "apt-get install nftables", "", ""},
		"iptables":      {absent("iptables"), "apt-get install iptables", "", ""},
		"not root":      {func(p *Probe, _ fstest.MapFS) { p.UID = 1000 }, "needs root", "", ""},
		"kernel lacks nft": {func(p *Probe, _ fstest.MapFS) {
			p.Run = func(_ context.Context, path string, args ...string) (string, error) {
				if strings.HasSuffix(path, "nft") && args[0] == "list" {
					return "internal:0:0-0: Error: Could not process rule: Operation not supported\n", errors.New("exit status 1")
				}
				return "", nil
			}
		}, "nft does not work", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, files := edge()
			tc.change(&p, files)
			f := p.Detect(t.Context(), "/var/lib/kedge")
			err := f.Preflight()
			switch {
			case tc.preflight == "" && err != nil:
				t.Errorf("preflight: %v", err)
			case tc.preflight != "" && (err == nil || !strings.Contains(err.Error(), tc.preflight) || strings.Contains(err.Error(), "\n")):
				t.Errorf("preflight: %v, want one about %q", err, tc.preflight)
			}
			got := f.Adaptations()
			if tc.condition == "" {
				if len(got) > 0 {
					t.Errorf("conditions: %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Name != tc.condition || got[0].Status != tc.status || got[0].Message == "" {
				t.Errorf("conditions: %+v, want %s %s", got, tc.condition, tc.status)
			}
		})
	}
}

func TestCgroupModes(t *testing.T) {
	for table, want := range map[string]CgroupMode{
		hybridMounts: CgroupV1, hybridMounts + unifiedBeside: CgroupHybrid, unified: CgroupV2, "": CgroupMissing,
	} {
		p, files := edge()
		files["proc/self/mountinfo"] = &fstest.MapFile{Data: []byte(table)}
		mode, controllers := p.cgroup()
		if mode != want {
			t.Errorf("mode %s, want %s", mode, want)
		}
		if got := strings.Join(controllers, " "); want == CgroupHybrid && got != "cpu cpuacct cpuset memory pids" {
			t.Errorf("controllers %s", got)
		}
	}
}

func TestIPv6DefaultRouteIsFound(t *testing.T) {
	zero := strings.Repeat("0", 32)
	table := zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n" +
		zero + " 00 " + zero + " 00 fe80" + strings.Repeat("0", 28) + " 00000400 00000001 00000000 00000003     eth1\n"
	if got := parseRoute6(table); got != "eth1" {
		t.Errorf("device %q", got)
	}
}

func TestLegacyIPTablesWithoutBackendInVersion(t *testing.T) {
	p, _ := edge()
	p.Run = func(context.Context, string, ...string) (string, error) { return "iptables v1.6.1\n", nil }
	if got := p.iptables(t.Context()); got.Backend != "legacy" || got.Version != "1.6.1" {
		t.Errorf("%+v", got)
	}
}

func TestRealHostIsDetectedAndLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	f := NewProbe().Detect(t.Context(), dir+"/not/yet/there")
	if f.Kernel == "" || f.Cgroup == "" || f.MemoryBytes == 0 || f.DiskFreeBytes == 0 {
		t.Errorf("facts: %+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the data directory: %v, %v", left, err)
	}
	t.Logf("%+v", f)
	for _, c := range f.Adaptations() {
		t.Logf("%s %s: %s", c.Name, c.Status, c.Message)
	}
}
