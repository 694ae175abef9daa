package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Status says how bad a condition is.
type Status string

// The statuses: nothing to say, kedge works around it, the owner should act.
const (
	OK       Status = "ok"
	Adapted  Status = "adapted"
	Degraded Status = "degraded"
)

// Condition is one finding about the host, for kedge status and for the node's
// conditions.
type Condition struct {
	// Name is in the form of node condition types: CgroupMode.
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Message says what was found and what kedge does about it.
	Message string `json:"message"`
	// Remedy is what the owner can do; empty when there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// Limits below which a condition speaks up.
const (
	minInotifyInstances = 256
	minInotifyWatches   = 8192
	minDisk             = 2 << 30   // bytes
	minMemory           = 480 << 20 // bytes; a board sold as 512 MB shows a little less
)

// neededControllers are those without which kubelet does not start.
var neededControllers = []string{"cpu", "cpuset", "memory", "pids"}

// Conditions lists all findings in a fixed order, the good ones too.
func (f Facts) Conditions() []Condition {
	return []Condition{
		f.cgroupCondition(), f.oomCondition(), f.overlayCondition(), f.bridgeCondition(),
		f.relayCondition(), f.inotifyCondition(), f.swapCondition(), f.sysctlCondition(), f.uplinkCondition(),
		f.diskCondition(), f.memoryCondition(),
	}
}

// Adaptations lists the conditions that are not OK.
func (f Facts) Adaptations() []Condition {
	return slices.DeleteFunc(f.Conditions(), func(c Condition) bool { return c.Status == OK })
}

func (f Facts) cgroupCondition() Condition {
	c := Condition{Name: "CgroupMode", Status: OK, Message: fmt.Sprintf("cgroup %s, %s driver", f.Cgroup, f.driver())}
	if f.Cgroup == CgroupV1 || f.Cgroup == CgroupHybrid {
		c.Status = Adapted
		c.Message += ": kubelet is told to accept cgroup v1, memory protection and pressure data are missing"
		c.Remedy = "boot with systemd.unified_cgroup_hierarchy=1"
	}
	return c
}

func (f Facts) driver() string {
	if f.SystemdCgroup() {
		return "systemd"
	}
	return "cgroupfs"
}

func (f Facts) oomCondition() Condition {
	if f.SysResource {
		return Condition{Name: "OOMScore", Status: OK, Message: "out-of-memory scores may be lowered"}
	}
	return Condition{Name: "OOMScore", Status: Adapted,
		Message: "CAP_SYS_RESOURCE is missing: out-of-memory scores are not lowered, kedge may be killed before pods when memory runs out",
		Remedy:  "run kedge with CAP_SYS_RESOURCE"}
}

func (f Facts) overlayCondition() Condition {
	if f.Overlay() {
		return Condition{Name: "Snapshotter", Status: OK, Message: "overlayfs works in the data directory"}
	}
	return Condition{Name: "Snapshotter", Status: Adapted,
		Message: "overlayfs does not work in the data directory (" + f.OverlayError + "): image layers are copied, which takes more space and time",
		Remedy:  "load the module overlay, or put --data-dir on ext4 or xfs with ftype=1"}
}

func (f Facts) bridgeCondition() Condition {
	if f.BridgeNetfilter {
		return Condition{Name: "BridgeNetfilter", Status: OK, Message: "bridged packets pass the packet filter"}
	}
	// The pod network sends what pods of one node say to each other through
	// the host (agent/network), so it does not need the switch.
	return Condition{Name: "BridgeNetfilter", Status: OK, Message: "bridged packets bypass the packet filter, pods of one node reach each other through the host"}
}

func (f Facts) relayCondition() Condition {
	if f.TUN {
		return Condition{Name: "PodRelay", Status: OK, Message: "packets can be relayed to pods of other sites"}
	}
	return Condition{Name: "PodRelay", Status: Degraded,
		Message: "there is no /dev/net/tun: pods of this node and of other sites do not reach each other",
		Remedy:  "load the module tun (modprobe tun), or pass the device into the container"}
}

func (f Facts) inotifyCondition() Condition {
	c := Condition{Name: "Inotify", Status: OK,
		Message: fmt.Sprintf("%d instances and %d watches per user", f.InotifyInstances, f.InotifyWatches)}
	if f.InotifyInstances < minInotifyInstances || f.InotifyWatches < minInotifyWatches {
		c.Status = Degraded
		c.Message += ": many pods will run into \"too many open files\""
		c.Remedy = fmt.Sprintf("sysctl -w fs.inotify.max_user_instances=%d fs.inotify.max_user_watches=%d", 2*minInotifyInstances, 64*minInotifyWatches)
	}
	return c
}

func (f Facts) swapCondition() Condition {
	if f.SwapBytes == 0 {
		return Condition{Name: "Swap", Status: OK, Message: "no swap"}
	}
	return Condition{Name: "Swap", Status: Adapted,
		Message: fmt.Sprintf("%d MiB of swap: kubelet is told to start anyway, pods do not use it", f.SwapBytes>>20),
		Remedy:  "swapoff -a, if the machine can do without"}
}

func (f Facts) sysctlCondition() Condition {
	if f.SysctlError == "" {
		return Condition{Name: "Sysctl", Status: OK, Message: "kernel settings can be changed"}
	}
	return Condition{Name: "Sysctl", Status: Adapted,
		Message: "kernel settings cannot be changed (" + f.SysctlError + "): kedge uses them as they are",
		Remedy:  "mount /proc/sys writable, or set net.ipv4.ip_forward=1 from outside"}
}

func (f Facts) uplinkCondition() Condition {
	if f.Uplink == "" {
		return Condition{Name: "Uplink", Status: Degraded, Message: "no default route",
			Remedy: "give the machine a default route, or name its address with --node-ip"}
	}
	return Condition{Name: "Uplink", Status: OK, Message: fmt.Sprintf("default route by %s, MTU %d", f.Uplink, f.UplinkMTU)}
}

func (f Facts) diskCondition() Condition {
	c := Condition{Name: "Disk", Status: OK, Message: fmt.Sprintf("%d MiB free in the data directory", f.DiskFreeBytes>>20)}
	if f.DiskFreeBytes < minDisk {
		c.Status, c.Remedy = Degraded, "free some space, or put --data-dir on a larger file system"
	}
	return c
}

func (f Facts) memoryCondition() Condition {
	c := Condition{Name: "Memory", Status: OK, Message: fmt.Sprintf("%d MiB of memory", f.MemoryBytes>>20)}
	if f.MemoryBytes < minMemory {
		c.Status, c.Message = Degraded, c.Message+": too little for a node with workloads"
	}
	return c
}

// Problem is a reason not to start.
type Problem struct {
	// What is wrong, and Remedy what mends it.
	What, Remedy string
}

func (p Problem) Error() string { return p.What + ": " + p.Remedy }

// Preflight returns every [Problem] joined, nil when a node can start here.
func (f Facts) Preflight() error {
	var errs []error
	add := func(bad bool, what, remedy string) {
		if bad {
			errs = append(errs, Problem{what, remedy})
		}
	}
	add(!f.Root, "kedge needs root to run a node", "start it with sudo or as a system service")
	add(f.NFT.Path == "", "the program nft is missing", "apt-get install nftables (or your distribution's package)")
	add(f.NFT.Path != "" && f.NFT.Error != "" && f.Root, "nft does not work ("+f.NFT.Error+")", "use a kernel with nf_tables (modprobe nf_tables)")
	add(f.IPTables.Path == "", "the program iptables is missing", "apt-get install iptables (or your distribution's package)")
	add(f.Cgroup == CgroupMissing, "no control groups are mounted", "mount cgroup2 at /sys/fs/cgroup")
	var missing []string
	for _, c := range neededControllers {
		if f.Cgroup != CgroupMissing && !slices.Contains(f.Controllers, c) {
			missing = append(missing, c)
		}
	}
	add(len(missing) > 0, "the cgroup controllers "+strings.Join(missing, ", ")+" are not available",
		"add cgroup_enable=cpuset cgroup_enable=memory cgroup_memory=1 to the kernel command line and reboot")
	return errors.Join(errs...)
}
