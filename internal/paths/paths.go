package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

const (
	// DefaultDataDir is where kedge keeps its data unless --data-dir says otherwise.
	DefaultDataDir = "/var/lib/kedge"
	// DefaultConfigFile is read when it exists and --config names no other.
	DefaultConfigFile = "/etc/kedge/config.yaml"
	// DefaultKubeconfig is where a server writes the administrator's kubeconfig.
	DefaultKubeconfig = "/etc/kedge/kedge.yaml"

	defaultRunDir = "/run/kedge"
)

// Layout is the set of paths of one node. Its zero value is useless; use [New].
type Layout struct {
	// DataDir holds everything that survives a boot.
	DataDir string
	// RunDir holds sockets and state that end with the boot. It is on tmpfs
	// on ordinary hosts.
	RunDir string
}

// New returns the layout for dataDir, or for [DefaultDataDir] when it is
// empty. A data directory other than the default has a run directory of its
// own, /run/kedge-HHHHHHHH, whose suffix is the first four bytes of the
// directory's SHA-256 in hexadecimal: short enough for a socket address.
func New(dataDir string) Layout {
	if dataDir == "" {
		dataDir = DefaultDataDir
	}
	dataDir = filepath.Clean(dataDir)
	if dataDir == DefaultDataDir {
		return Layout{DataDir: dataDir, RunDir: defaultRunDir}
	}
	sum := sha256.Sum256([]byte(dataDir))
	return Layout{DataDir: dataDir, RunDir: defaultRunDir + "-" + hex.EncodeToString(sum[:4])}
}

// Data is the folder of unpacked runtime bundles, one slot per content hash.
func (l Layout) Data() string { return filepath.Join(l.DataDir, "data") }

// CurrentBin is the executables of the bundle in use. It leads through a
// symbolic link, so it stays the same across upgrades.
func (l Layout) CurrentBin() string { return filepath.Join(l.Data(), "current", "bin") }

// Server is the root of what the control plane keeps.
func (l Layout) Server() string { return filepath.Join(l.DataDir, "server") }

// ServerTLS holds the authorities, keys and certificates of the control plane.
func (l Layout) ServerTLS() string { return filepath.Join(l.Server(), "tls") }

// ServerCred holds kubeconfigs and secrets of the control plane's own parts.
func (l Layout) ServerCred() string { return filepath.Join(l.Server(), "cred") }

// Manifests is the folder whose YAML files the server applies and prunes.
func (l Layout) Manifests() string { return filepath.Join(l.Server(), "manifests") }

// AddressLists is the folder for the server's copies of lists of addresses.
func (l Layout) AddressLists() string { return filepath.Join(l.Server(), "addresslists") }

// Snapshots is the folder for snapshots of the datastore unless --snapshot-dir
// names another.
func (l Layout) Snapshots() string { return filepath.Join(l.Server(), "snapshots") }

// RecoveryToken is the file with the token that opens what is sealed in snapshots.
func (l Layout) RecoveryToken() string { return filepath.Join(l.Server(), "recovery-token") }

// Database is the SQLite file behind the API.
func (l Layout) Database() string { return filepath.Join(l.Server(), "db", "state.db") }

// DatabaseBegun marks that there is a database. It lies outside of the database's
// folder, which may be a disk of its own.
func (l Layout) DatabaseBegun() string { return filepath.Join(l.Server(), "datastore-begun") }

// KineSocket is the socket on which kine speaks the etcd protocol.
func (l Layout) KineSocket() string { return filepath.Join(l.RunDir, "kine.sock") }

// ProcessLock is locked by the one daemon that owns the data directory.
func (l Layout) ProcessLock() string { return filepath.Join(l.DataDir, "lock") }

// LastSeen is the file of the time that was seen last.
func (l Layout) LastSeen() string { return filepath.Join(l.DataDir, "last-seen") }

// Agent is the root of what a node keeps.
func (l Layout) Agent() string { return filepath.Join(l.DataDir, "agent") }

// AgentTLS holds the node's keys and certificates.
func (l Layout) AgentTLS() string { return filepath.Join(l.Agent(), "tls") }

// Kubelet is kubelet's root directory.
func (l Layout) Kubelet() string { return filepath.Join(l.Agent(), "kubelet") }

// Containerd is containerd's persistent root.
func (l Layout) Containerd() string { return filepath.Join(l.Agent(), "containerd") }

// Images is the folder whose archives are imported into containerd.
func (l Layout) Images() string { return filepath.Join(l.Agent(), "images") }

// RegistryHosts is the folder in which containerd looks for the settings of a
// registry, a folder for each.
func (l Layout) RegistryHosts() string {
	return filepath.Join(l.Agent(), "etc", "containerd", "certs.d")
}

// RegistriesLastGood is a copy of the registry settings in force, secrets included.
func (l Layout) RegistriesLastGood() string {
	return filepath.Join(l.Agent(), "etc", "registries.last-good.yaml")
}

// CNIConfig is the folder with the node's pod network configuration.
func (l Layout) CNIConfig() string { return filepath.Join(l.Agent(), "cni", "net.d") }

// CNIState is where host-local keeps the addresses it gave out.
func (l Layout) CNIState() string { return filepath.Join(l.Agent(), "cni", "state") }

// ProbeKey is the key by which nodes of one site know each other.
func (l Layout) ProbeKey() string { return filepath.Join(l.AgentTLS(), "probe.key") }

// Logs holds the log files of child processes.
func (l Layout) Logs() string { return filepath.Join(l.Agent(), "logs") }

// PodLogs holds the logs of containers. The default layout keeps upstream's
// place, because log shippers look there.
func (l Layout) PodLogs() string {
	if l.DataDir == DefaultDataDir {
		return "/var/log/pods"
	}
	return filepath.Join(l.Agent(), "pod-logs")
}

// KubeletConfig is the node's kubeconfig for kubelet.
func (l Layout) KubeletConfig() string { return filepath.Join(l.Agent(), "kubelet.kubeconfig") }

// ProxyConfig is the node's kubeconfig for kube-proxy.
func (l Layout) ProxyConfig() string { return filepath.Join(l.Agent(), "kube-proxy.kubeconfig") }

// AgentConfig is the node's kubeconfig for kedge's own parts.
func (l Layout) AgentConfig() string { return filepath.Join(l.Agent(), "kedge-agent.kubeconfig") }

// LiveKubeletConfig and LiveProxyConfig are what kubelet and kube-proxy
// themselves read: the same users as those of KubeletConfig and ProxyConfig, in a
// form that only this program understands.
func (l Layout) LiveKubeletConfig() string { return filepath.Join(l.RunDir, "kubelet.kubeconfig") }

// LiveProxyConfig is the one of kube-proxy.
func (l Layout) LiveProxyConfig() string { return filepath.Join(l.RunDir, "kube-proxy.kubeconfig") }

// StatusSocket is where a running daemon answers kedge status.
func (l Layout) StatusSocket() string { return filepath.Join(l.RunDir, "kedge.sock") }

// ContainerdState is containerd's volatile state.
func (l Layout) ContainerdState() string { return filepath.Join(l.RunDir, "containerd") }

// ContainerdSocket is where containerd answers.
func (l Layout) ContainerdSocket() string {
	return filepath.Join(l.ContainerdState(), "containerd.sock")
}
