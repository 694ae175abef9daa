package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/agent/runtime/bundle"
)

// unit is one program of the baseline.
type unit struct {
	name string
	argv []string
	once bool
}

const runtimeSocket = "/run/containerd/containerd.sock"

// units are the programs with kedge's settings wherever a setting makes work,
// and upstream's defaults elsewhere.
func (b *baseline) units() []unit {
	program := func(name string, args ...string) unit {
		return unit{name: name, argv: append([]string{"/usr/local/bin/upstream", name}, args...)}
	}
	load := func(name, archive string) unit {
		return unit{name: name, once: true, argv: []string{"/usr/local/bin/kedge", "ctr", "--address", runtimeSocket, "-n", "k8s.io", "images", "import", archive}}
	}
	c := b.certs
	proxy := []string{
		"--cluster-cidr=10.42.0.0/16", "--detect-local-mode=ClusterCIDR", "--hostname-override=" + b.host.Name(),
		"--kubeconfig=" + b.proxy, "--proxy-mode=nftables", "--conntrack-max-per-core=0", "--conntrack-min=0",
	}
	if !b.facts.SysResource {
		proxy = append(proxy, "--oom-score-adj=0")
	}
	return []unit{
		// The data source name is kine's own default.
		program("kine", "--endpoint=sqlite://"+dataDir+"/kine/state.db?_journal_mode=WAL&_busy_timeout=30000&_synchronous=NORMAL&_txlock=immediate&_stmt_cache_size=20&cache=shared"),
		program("kube-apiserver", b.apiServerArgs()...),
		program("kube-controller-manager",
			"--allocate-node-cidrs", "--cluster-cidr=10.42.0.0/16", "--service-cluster-ip-range=10.43.0.0/16",
			"--kubeconfig="+c.ControllerManagerKubeconfig, "--authentication-kubeconfig="+c.ControllerManagerKubeconfig,
			"--authorization-kubeconfig="+c.ControllerManagerKubeconfig, "--leader-elect=false", "--root-ca-file="+c.ServerCA.Cert,
			"--service-account-private-key-file="+c.ServiceKey, "--use-service-account-credentials",
			"--cluster-signing-cert-file="+c.ClientCA.Cert, "--cluster-signing-key-file="+c.ClientCA.Key),
		program("kube-scheduler", "--kubeconfig="+c.SchedulerKubeconfig, "--authentication-kubeconfig="+c.SchedulerKubeconfig,
			"--authorization-kubeconfig="+c.SchedulerKubeconfig, "--leader-elect=false"),
		program("containerd", "--config", b.static("containerd.toml")),
		program("kubelet", "--config="+b.static("kubelet.yaml"), "--kubeconfig="+b.kubelet, "--hostname-override="+b.host.Name(),
			"--root-dir="+dataDir+"/kubelet", "--cert-dir="+dataDir+"/kubelet"),
		program("kube-proxy", proxy...),
		program("coredns", "-conf", b.static("Corefile")),
		load("load-pause", b.slot.PauseArchive()),
		load("load-app", b.static("data")+"/agent/images/app.tar"),
	}
}

func (b *baseline) apiServerArgs() []string {
	c := b.certs
	return []string{
		"--advertise-address=" + b.host.IP(), "--allow-privileged", "--authorization-mode=Node,RBAC",
		"--client-ca-file=" + c.ClientCA.Cert, "--enable-admission-plugins=NodeRestriction",
		"--encryption-provider-config=" + c.EncryptionConfig, "--etcd-servers=http://127.0.0.1:2379",
		"--kubelet-certificate-authority=" + c.KubeletCA.Cert, "--kubelet-client-certificate=" + c.KubeletClient.Cert,
		"--kubelet-client-key=" + c.KubeletClient.Key, "--proxy-client-cert-file=" + c.AuthProxy.Cert,
		"--proxy-client-key-file=" + c.AuthProxy.Key, "--requestheader-allowed-names=system:auth-proxy",
		"--requestheader-client-ca-file=" + c.RequestHeaderCA.Cert, "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--secure-port=6443", "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.ServiceKey, "--service-account-signing-key-file=" + c.ServiceKey,
		"--service-cluster-ip-range=10.43.0.0/16", "--tls-cert-file=" + c.Serving.Cert, "--tls-private-key-file=" + c.Serving.Key,
	}
}

// configure writes the configuration files.
func (b *baseline) configure() error {
	for name, text := range map[string]string{
		"kubelet.yaml":             b.kubeletConfig(),
		"containerd.toml":          b.containerdConfig(),
		"cni/.keep":                "",
		"resolv.conf":              "nameserver 198.51.100.1\n",
		"Corefile":                 fmt.Sprintf(corefile, b.certs.AdminKubeconfig),
		"manifests/.keep":          "",
		"registries/certs.d/.keep": "",
	} {
		path := b.static(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cniConfig is the network that kedge writes, for the range of a node.
const cniConfig = `{"cniVersion": "1.0.0", "name": "bench", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "ipMasq": false, "hairpinMode": true, "mtu": 1500,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]]}},
 {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": true}}]}
`

const corefile = `.:1053 {
 errors
 kubernetes cluster.local in-addr.arpa ip6.arpa {
  kubeconfig %s
 }
 cache 30
}
`

func (b *baseline) kubeletConfig() string {
	oom, driver := -999, "cgroupfs"
	if !b.facts.SysResource {
		oom = 0
	}
	if b.facts.SystemdCgroup() {
		driver = "systemd"
	}
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
tlsCertFile: %s
tlsPrivateKeyFile: %s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://%s
staticPodPath: %s
clusterDomain: cluster.local
clusterDNS: [10.43.0.10]
resolvConf: %s
cgroupDriver: %s
cgroupRoot: %s
failCgroupV1: %t
failSwapOn: false
oomScoreAdj: %d
serializeImagePulls: false
evictionHard: {memory.available: 100Mi, nodefs.available: "5%%", imagefs.available: "5%%", nodefs.inodesFree: "5%%"}
`, b.serving.Cert, b.serving.Key, b.certs.ClientCA.Cert, runtimeSocket, b.static("manifests"), b.static("resolv.conf"),
		driver, b.host.CgroupRoot(), b.facts.Cgroup == host.CgroupV2, oom)
}

func (b *baseline) containerdConfig() string {
	snapshotter := "overlayfs"
	if !b.facts.Overlay() {
		snapshotter = "native"
	}
	bin, q := b.slot.Bin(), strconv.Quote
	return fmt.Sprintf(`version = 4
root = %q
state = "/run/containerd"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = %q
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = %t
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = [%s]
    conf_dir = %q
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = %q
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = %q
        SystemdCgroup = %t
`, dataDir+"/containerd", snapshotter, bundle.PauseImage, !b.facts.SysResource, q(bin), b.static("cni"),
		bin+"/containerd-shim-runc-v2", bin+"/runc", b.facts.SystemdCgroup())
}
