package finding

// Findings about the machine itself.
const (
	Root         ID = "host.root"
	Probe        ID = "host.probe"
	Kernel       ID = "host.kernel"
	Namespaces   ID = "host.namespaces"
	Cgroup       ID = "host.cgroup"
	Controllers  ID = "host.cgroup-controllers"
	Delegation   ID = "host.cgroup-delegation"
	Overlay      ID = "host.overlay"
	Kmsg         ID = "host.kmsg"
	Propagation  ID = "host.mount-propagation"
	Sysctl       ID = "host.sysctl"
	OOMScore     ID = "host.oom-score"
	Inotify      ID = "host.inotify"
	OpenFiles    ID = "host.open-files"
	SELinux      ID = "host.selinux"
	Seccomp      ID = "host.seccomp"
	NodeName     ID = "host.name"
	ProgMount    ID = "programs.mount"
	ProgNFT      ID = "programs.nft"
	ProgIPTables ID = "programs.iptables"
	ProgIP6      ID = "programs.ip6tables"
	ProgModprobe ID = "programs.modprobe"
	Variants     ID = "programs.iptables-variants"
	ClockBuild   ID = "time.clock"
	TimeSync     ID = "time.synchronised"
	DiskSpace    ID = "disk.space"
	DiskInodes   ID = "disk.inodes"
	DiskWrite    ID = "disk.writable"
	DiskKind     ID = "disk.file-system"
	DiskNoexec   ID = "disk.noexec"
	DiskFlash    ID = "disk.flash"
	DiskRun      ID = "disk.run"
	Memory       ID = "memory.size"
	Swap         ID = "memory.swap"
)

func host() []Entry {
	return []Entry{
		{Root, "user", "a node makes namespaces, mounts and firewall rules",
			"it does not start; this check could not try out the kernel", "run it with sudo, or as a system service"},
		{Probe, "the check itself", "something that kedge uses, too, does not answer",
			"what depends on it may hang in the same way", "look at the thing that the finding names; a file system of the network or a busy machine are the usual reasons"},
		{Kernel, "kernel release", "kube-proxy's nftables mode is refused before 5.13, kubelet before 5.4",
			"kube-proxy ends with an error: services have no addresses", "use a kernel of 5.13 or later"},
		{Namespaces, "namespaces", "every pod is a set of namespaces, and kedge needs CAP_SYS_ADMIN and CAP_NET_ADMIN for its own network",
			"no pod starts", "run kedge on the machine itself or in a privileged container, with a kernel that has CONFIG_NET_NS, CONFIG_PID_NS, CONFIG_IPC_NS and CONFIG_UTS_NS"},
		{Cgroup, "control groups", "kubelet measures and bounds pods with them",
			"with none kubelet does not start; with version 1 memory protection and pressure figures are missing, and kubelet is told to accept that", "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 at /sys/fs/cgroup"},
		{Controllers, "cgroup controllers", "kubelet does not start without cpu, cpuset, memory and pids",
			"the node does not start", "add cgroup_enable=cpuset cgroup_enable=memory cgroup_memory=1 to the kernel's command line and reboot"},
		{Delegation, "cgroups can be made", "kubelet makes a cgroup for each pod and hands controllers down to it",
			"kubelet does not start, or pods run without limits", "mount /sys/fs/cgroup writable; in a container use a private cgroup namespace with an own init, under systemd Delegate=yes"},
		{Overlay, "overlayfs in the data directory", "layers of images are put on top of each other with it",
			"layers are copied: more space, slower starts of containers", "load the module overlay, or put --data-dir on ext4 or xfs (ftype=1)"},
		{Kmsg, "/dev/kmsg", "kubelet reads kills for lack of memory there",
			"kubelet ends with an error", "pass /dev/kmsg into the container, or run kedge on the machine itself"},
		{Propagation, "mount propagation", "mounts that a pod makes for others (storage drivers) pass through a shared root mount",
			"pods with bidirectional or host-to-container mounts do not start; all others do", "mount --make-rshared /, at each boot"},
		{Sysctl, "kernel settings", "kedge switches forwarding on, kube-proxy sizes the connection table",
			"settings are used as they are; without net.ipv4.ip_forward=1 pods reach nothing outside of their node", "mount /proc/sys writable, or set net.ipv4.ip_forward=1 from outside"},
		{OOMScore, "out-of-memory scores", "kedge protects itself and containerd from being killed before pods",
			"scores are left alone: kedge may be killed first when memory runs out", "run kedge with CAP_SYS_RESOURCE"},
		{Inotify, "inotify limits", "kubelet, containerd and many pods watch files",
			"pods run into \"too many open files\"", "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288, and the same in /etc/sysctl.d"},
		{OpenFiles, "limit of open files", "the API server holds one connection for each watch, containerd several files for each container",
			"requests fail with \"too many open files\" on a busy node", "LimitNOFILE=1048576 in the unit, or ulimit -n 1048576 before the start"},
		{SELinux, "SELinux", "containers are started without labels",
			"an enforcing policy may keep them from files of the host, or from starting", "install the policy container-selinux and label the data directory, or setenforce 0"},
		{Seccomp, "seccomp", "the profile RuntimeDefault of pods is a seccomp filter",
			"pods that ask for a profile do not start; all others run unfiltered", "use a kernel with CONFIG_SECCOMP_FILTER"},
		{NodeName, "name of the node", "it is the name of an object, and it is how a server knows this machine again",
			"a name that is no DNS label is refused; machines that share one push each other out", "set the host name, or --node-name, to a name of its own in lower case"},
		{ProgMount, "mount and umount", "kubelet calls them for volumes in memory, which all tokens of pods are",
			"no pod with a service account's token starts", "install the package mount or util-linux"},
		{ProgNFT, "nft", "kube-proxy, the pod network and host ports are nftables rules, read and written by nft of at least 1.0.1",
			"the node does not start", "install the package nftables; load the module nf_tables"},
		{ProgIPTables, "iptables", "the firewall of the node and network policies are chains of iptables (with -save and -restore)",
			"the node does not start", "install the package iptables (RHEL: iptables-nft)"},
		{ProgIP6, "ip6tables", "the firewall's rules for IPv6 need it",
			"rules hold for IPv4 alone; the status of firewalls says so", "install the package iptables with its ip6tables programs"},
		{ProgModprobe, "modprobe", "the kernel calls it to load what it lacks",
			"only what is loaded or built in can be used", "install kmod, or load the modules at boot (/etc/modules-load.d)"},
		{Variants, "legacy and nft rules at once", "both kinds of iptables see every packet, and each program shows one kind only",
			"a rule of the other kind can drop what kedge lets through, without being seen", "move all to one kind (update-alternatives --set iptables /usr/sbin/iptables-nft), and flush the other with its own program"},
		{ClockBuild, "clock", "a clock from before this program was built makes every certificate look not yet valid",
			"kedge goes on from the last time it has seen, and learns the server's at a join; logs and leases carry wrong times until the clock is set", "timedatectl set-ntp true, or date -s; give the board a battery"},
		{TimeSync, "time synchronisation", "a clock that drifts by minutes breaks certificates, tokens of pods and leases",
			"nothing at first", "enable systemd-timesyncd, chrony or ntpd and let NTP (UDP 123) through"},
		{DiskSpace, "free space", "a first start writes some 100 MB; kubelet evicts pods below 5 %, the datastore stops below 16 MB",
			"the start ends with an error, or the node soon has DiskPressure", "free some space, or put --data-dir on a larger file system"},
		{DiskInodes, "free inodes", "each file of each image layer takes one; kubelet evicts pods below 5 %",
			"the node has DiskPressure although there is space", "delete small files, or make the file system anew with more inodes (mkfs.ext4 -i 8192)"},
		{DiskWrite, "data directory", "everything that survives a boot is there",
			"the start ends with an error", "mount it writable, free some space, check its owner, or give another --data-dir"},
		{DiskKind, "file system of the data directory", "the datastore needs locks and syncs that mean it, containers need owners, links and modes",
			"on file systems of the network a database is damaged sooner or later; on a tmpfs all is gone after a boot; on FAT nothing works", "put --data-dir on ext4, xfs, btrfs or f2fs of a local disk"},
		{DiskNoexec, "executables in the data directory", "runc, the shim and the programs of the pod network are started from there",
			"no pod starts", "mount -o remount,exec, or give another --data-dir"},
		{DiskFlash, "flash", "SD cards and eMMC die of writes",
			"kedge keeps leases and events in memory and joins writes; workloads do as they like", "watch kedge_datastore_written_bytes_total; put busy volumes on another disk"},
		{DiskRun, "run directory", "sockets, containerd's state, events and leases are in /run, which should be in memory",
			"leases and events are written to the disk; less than 64 MB free ends them early", "mount a tmpfs at /run"},
		{Memory, "memory", "a node takes some 250 MB before the first pod, a server some 600 MB",
			"pods are evicted or killed", "use a larger machine, or swap on something else than flash"},
		{Swap, "swap", "Kubernetes counts memory as if there was no swap",
			"kubelet is told to start anyway; pods do not use it", "swapoff -a, if the machine can do without"},
	}
}
