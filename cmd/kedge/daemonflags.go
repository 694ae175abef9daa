package main

import (
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/agent/bandwidth/uplink"
	"github.com/kedge-io/kedge/agent/enroll"
	"github.com/kedge-io/kedge/agent/registries"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/join"
	"github.com/kedge-io/kedge/server/metrics"
)

// nodeOptions are what server and agent share, as a person writes them.
type nodeOptions struct {
	dataDir, configFile  string
	nodeName             string
	nodeIPs, externalIPs []string
	labels, taints       []string
	resolvConf           string
	cgroupRoot           string
	failsafe             []string
	registries           string
	mirrorsOnly          bool
	uplink               uplink.Config
	kubeletArgs          []string
	proxyArgs            []string
	healthAddress        string
	debug                bool
}

func (o *nodeOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.dataDir, "data-dir", paths.DefaultDataDir, "folder that holds everything which survives a boot")
	fs.StringVarP(&o.configFile, config.FileFlag, "c", config.DefaultFile, "configuration file; files in the folder FILE.d come after it")
	fs.StringVar(&o.nodeName, "node-name", "", "name of this node (default: the host name)")
	fs.StringSliceVar(&o.nodeIPs, "node-ip", nil, "internal address of this node in the cluster (default: the first one of its pod range)")
	fs.StringSliceVar(&o.externalIPs, "node-external-ip", nil, "address under which others outside of the site reach this node")
	fs.StringSliceVar(&o.labels, "node-label", nil, "label KEY=VALUE that the node gets when it registers")
	fs.StringSliceVar(&o.taints, "node-taint", nil, "taint KEY=VALUE:EFFECT that the node gets when it registers")
	fs.StringVar(&o.resolvConf, "resolv-conf", "", "file with the host's name servers (default: /etc/resolv.conf, or systemd-resolved's own)")
	fs.StringVar(&o.cgroupRoot, "cgroup-root", "/", "cgroup below which the pods of this node live")
	fs.StringSliceVar(&o.failsafe, "failsafe", nil, "CIDR[=PORT] that always reaches this node by TCP, whatever the cluster's firewall says (default port: 22)")
	fs.StringVar(&o.registries, "private-registry", registries.DefaultFile, "file with mirrors, passwords and certificates of container registries; changes count at once")
	fs.BoolVar(&o.mirrorsOnly, "disable-default-registry-endpoint", false, "never ask a registry itself that has a mirror in the registries file")
	fs.StringSliceVar(&o.uplink.Uplinks, "uplink", nil, "link to the outside and what it carries in bits per second, DEV=EGRESS[/INGRESS], for instance eth0=20M/100M; auto for the device of the default route, none for none (default: auto, with the speed of its port)")
	fs.StringSliceVar(&o.uplink.Reserve, "uplink-reserve", nil, "who shares in the bandwidth reserved for control, besides the link, DNS and NTP: tcp/PORT, udp/PORT or cgroup:/PATH of a process of the host")
	fs.StringVar(&o.uplink.ReserveRate, "uplink-reserve-rate", "", "bandwidth reserved for control on each uplink, a share such as 5% or a rate such as 2M (default: 2%, at least 256k and at most 10M)")
	fs.StringArrayVar(&o.kubeletArgs, "kubelet-arg", nil, "setting NAME=VALUE for kubelet, as its own flag")
	fs.StringArrayVar(&o.proxyArgs, "kube-proxy-arg", nil, "setting NAME=VALUE for kube-proxy, as its own flag")
	fs.StringVar(&o.healthAddress, "health-bind-address", "", "loopback ADDRESS:PORT for /healthz and /readyz, besides the socket (default: none)")
	fs.BoolVar(&o.debug, "debug", false, "log more, Kubernetes' own notes included")
}

// joinOptions say where an agent joins and with what.
type joinOptions struct {
	server, token, tokenFile string
	timeout                  time.Duration
}

func (o *joinOptions) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&o.server, "server", "s", "", "URL of the server to join, https://HOST:6443")
	fs.StringVarP(&o.token, "token", "t", "", "join token, made on the server with: kedge token create")
	fs.StringVar(&o.tokenFile, "token-file", "", "file with the join token")
	fs.DurationVar(&o.timeout, "join-timeout", enroll.DefaultJoinTimeout, "how long a first join keeps trying while the server is out of reach")
	config.MarkSecret(fs, "token")
}

// serverOptions are what only a server has.
type serverOptions struct {
	bindAddress, advertiseAddress      string
	port                               int
	tlsSANs                            []string
	clusterCIDR, serviceCIDR           string
	clusterDNS, clusterDomain          string
	kubeconfig, kubeconfigMode         string
	disableAgent                       bool
	disable                            []string
	metricsResolution                  time.Duration
	datastore, dsCAFile, dsCert, dsKey string
	snapshots                          snapshotOptions
	certGrace                          time.Duration
	certLifetime                       time.Duration
	apiArgs, controllerArgs, schedArgs []string
}

func (o *serverOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.bindAddress, "bind-address", "0.0.0.0", "address on which the server listens")
	fs.IntVar(&o.port, "https-listen-port", 6443, "TCP port of the API, of joining nodes and of their links")
	fs.StringVar(&o.advertiseAddress, "advertise-address", "", "address where pods and nodes reach the server (default: the node's address)")
	fs.StringSliceVar(&o.tlsSANs, "tls-san", nil, "further name or address in the server's certificate")
	fs.StringVar(&o.clusterCIDR, "cluster-cidr", "10.42.0.0/16", "address range of pods")
	fs.StringVar(&o.serviceCIDR, "service-cidr", "10.43.0.0/16", "address range of services")
	fs.StringVar(&o.clusterDNS, "cluster-dns", "", "address of cluster DNS (default: the tenth of the range of services)")
	fs.StringVar(&o.clusterDomain, "cluster-domain", "cluster.local", "DNS domain of the cluster")
	fs.StringVarP(&o.kubeconfig, "write-kubeconfig", "o", paths.DefaultKubeconfig, "where to write the administrator's kubeconfig")
	fs.StringVar(&o.kubeconfigMode, "write-kubeconfig-mode", "0600", "file mode of the administrator's kubeconfig")
	fs.BoolVar(&o.disableAgent, "disable-agent", false, "run the control plane only, no node")
	fs.StringSliceVar(&o.disable, "disable", nil, "packaged manifest to leave out")
	fs.DurationVar(&o.metricsResolution, "metrics-resolution", metrics.DefaultResolution, "time between two figures of a node's and its pods' use of CPU and memory (kubectl top, autoscaling)")
	fs.DurationVar(&o.certGrace, "certificate-grace", join.DefaultGrace, "for how long after the end of its certificate a node that was off renews it without a token; 0 for never")
	fs.DurationVar(&o.certLifetime, "certificate-lifetime", certs.DefaultLifetime, "how long certificates of the server and of nodes are valid; they are renewed after two thirds of it")
	fs.StringVar(&o.datastore, "datastore-endpoint", "", "external datastore instead of SQLite: a postgres, mysql, nats or etcd URL")
	fs.StringVar(&o.dsCAFile, "datastore-cafile", "", "authority of the external datastore")
	fs.StringVar(&o.dsCert, "datastore-certfile", "", "client certificate for the external datastore")
	fs.StringVar(&o.dsKey, "datastore-keyfile", "", "key of the client certificate for the external datastore")
	fs.StringArrayVar(&o.apiArgs, "kube-apiserver-arg", nil, "setting NAME=VALUE for kube-apiserver, as its own flag")
	fs.StringArrayVar(&o.controllerArgs, "kube-controller-manager-arg", nil, "setting NAME=VALUE for kube-controller-manager, as its own flag")
	fs.StringArrayVar(&o.schedArgs, "kube-scheduler-arg", nil, "setting NAME=VALUE for kube-scheduler, as its own flag")
	config.MarkSecret(fs, "datastore-endpoint")
	o.snapshots.bind(fs)
}

// parseAddrs reads the addresses of one option.
func parseAddrs(option string, words []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, w := range words {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return nil, valueError(option, w, "an address such as 192.168.1.10")
		}
		out = append(out, a.Unmap())
	}
	return out, nil
}
