package host

import (
	"slices"
	"strconv"
	"strings"
)

// cgroup reads the mode from the mount table and the controllers from where
// the mode keeps them (cgroups(7)).
func (p Probe) cgroup() (CgroupMode, []string) {
	v2, v1 := parseCgroupMounts(p.text("proc/self/mountinfo"))
	slices.Sort(v1)
	v1 = slices.Compact(v1)
	switch {
	case len(v1) > 0 && v2 != "":
		return CgroupHybrid, v1
	case len(v1) > 0:
		return CgroupV1, v1
	case v2 != "":
		names := strings.Fields(p.text(strings.TrimPrefix(v2, "/") + "/cgroup.controllers"))
		slices.Sort(names)
		return CgroupV2, names
	}
	return CgroupMissing, nil
}

// parseCgroupMounts returns the mount point of the v2 tree and the controllers
// mounted on v1 (proc_pid_mountinfo(5): after " - " come type, source and
// options of the file system, where v1 names its controllers).
func parseCgroupMounts(table string) (v2 string, v1 []string) {
	for line := range strings.Lines(table) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		switch right[0] {
		case "cgroup2":
			v2 = left[4]
		case "cgroup":
			for opt := range strings.SplitSeq(right[2], ",") {
				if slices.Contains(v1Controllers, opt) {
					v1 = append(v1, opt)
				}
			}
		}
	}
	return v2, v1
}

// v1Controllers are the options of a v1 mount that are controllers.
var v1Controllers = []string{
	"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory",
	"misc", "net_cls", "net_prio", "perf_event", "pids", "rdma",
}

// hasCapability looks up a bit of CapEff in /proc/PID/status.
func hasCapability(status string, bit int) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set&(1<<bit) != 0
		}
	}
	return false
}

// parseSwaps adds up the sizes in /proc/swaps, which are in KiB.
func parseSwaps(text string) uint64 {
	var sum uint64
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 3 {
			kib, _ := strconv.ParseUint(f[2], 10, 64) // the heading is no number
			sum += kib << 10
		}
	}
	return sum
}

func parseMemTotal(text string) uint64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseUint(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// parseRoute returns the device of the default route with the lowest metric in
// /proc/net/route.
func parseRoute(text string) string {
	best, metric := "", uint64(0)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		if m, err := strconv.ParseUint(f[6], 10, 32); err == nil && (best == "" || m < metric) {
			best, metric = f[0], m
		}
	}
	return best
}

// parseRoute6 does the same for /proc/net/ipv6_route, whose numbers are
// hexadecimal; the kernel's own reject route on lo does not count.
func parseRoute6(text string) string {
	best, metric := "", uint64(0)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || strings.Trim(f[0], "0") != "" || f[1] != "00" || f[9] == "lo" {
			continue
		}
		if m, err := strconv.ParseUint(f[5], 16, 32); err == nil && (best == "" || m < metric) {
			best, metric = f[9], m
		}
	}
	return best
}

// Cgroups is how control groups are mounted, and the controllers that may be used.
func (p Probe) Cgroups() (CgroupMode, []string) { return p.cgroup() }

// DefaultDevice is the device of the default route, "" for none.
func (p Probe) DefaultDevice() string {
	if d := parseRoute(p.text("proc/net/route")); d != "" {
		return d
	}
	return parseRoute6(p.text("proc/net/ipv6_route"))
}
