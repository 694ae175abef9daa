package host

// CgroupMode is how the kernel's control groups are mounted.
type CgroupMode string

// The modes. Hybrid has the controllers on v1 and an empty v2 tree beside.
const (
	CgroupV1      CgroupMode = "v1"
	CgroupV2      CgroupMode = "v2"
	CgroupHybrid  CgroupMode = "hybrid"
	CgroupMissing CgroupMode = "missing"
)

// Facts is what [Detect] saw.
type Facts struct {
	// Kernel is the release, for example 6.1.0-18-amd64.
	Kernel string `json:"kernel"`
	// Root tells whether the process has user id 0.
	Root bool `json:"root"`
	// Cgroup is the mode; Controllers are those that may be used, sorted.
	Cgroup      CgroupMode `json:"cgroup"`
	Controllers []string   `json:"controllers"`
	// Systemd tells whether systemd is the init of this machine.
	Systemd bool `json:"systemd"`
	// SysResource tells whether CAP_SYS_RESOURCE is effective: without it no
	// oom_score_adj can be lowered.
	SysResource bool `json:"sysResource"`
	// OverlayError is why an overlay mount in the data directory failed; empty
	// when it works.
	OverlayError string `json:"overlayError,omitempty"`
	// NFT and IPTables are the host's programs.
	NFT      Program `json:"nft"`
	IPTables Program `json:"iptables"`
	// BridgeNetfilter tells whether bridged packets pass the packet filter.
	BridgeNetfilter bool `json:"bridgeNetfilter"`
	// TUN tells whether the host has TUN devices.
	TUN bool `json:"tun"`
	// InotifyInstances and InotifyWatches are the limits per user.
	InotifyInstances int `json:"inotifyInstances"`
	InotifyWatches   int `json:"inotifyWatches"`
	// SwapBytes is the size of all swap areas in use.
	SwapBytes uint64 `json:"swapBytes"`
	// MemoryBytes is the machine's memory.
	MemoryBytes uint64 `json:"memoryBytes"`
	// DiskFreeBytes is what an unprivileged writer could still use on the file
	// system of the data directory.
	DiskFreeBytes uint64 `json:"diskFreeBytes"`
	// SysctlError is why /proc/sys cannot be written; empty when it can.
	SysctlError string `json:"sysctlError,omitempty"`
	// Uplink is the device of the default route, empty when there is none, and
	// UplinkMTU its MTU in bytes.
	Uplink    string `json:"uplink,omitempty"`
	UplinkMTU int    `json:"uplinkMTU,omitempty"`
}

// Program is a program of the host.
type Program struct {
	// Path is absolute, empty when the program is not installed.
	Path string `json:"path,omitempty"`
	// Version is as the program says, without the leading v.
	Version string `json:"version,omitempty"`
	// Backend is nf_tables or legacy, for iptables only.
	Backend string `json:"backend,omitempty"`
	// Error is why it does not work although it is there.
	Error string `json:"error,omitempty"`
}

// SystemdCgroup tells whether systemd should make the cgroups of pods. kubelet
// and containerd must be told the same. On v1 and hybrid hosts the plain
// driver is used, because systemd delegates no v1 controllers reliably.
func (f Facts) SystemdCgroup() bool { return f.Systemd && f.Cgroup == CgroupV2 }

// Overlay tells whether overlayfs works in the data directory.
func (f Facts) Overlay() bool { return f.OverlayError == "" }
