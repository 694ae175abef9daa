package kube

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/paths"
)

// The names of the components that this package provides.
const (
	Kubelet = "kubelet"
	Proxy   = "kube-proxy"
	// Node is ready when the API says that the node is.
	Node = "node"
)

// KubeletPort is the TCP port on loopback where kubelet serves its API.
const KubeletPort = 10250

// Config says how kubelet and kube-proxy are to run.
type Config struct {
	Layout   paths.Layout
	NodeName string
	// NodeIPs are the internal addresses that a person gave to the node, at most
	// one of each family. Empty makes it the first address of the pod range.
	NodeIPs []netip.Addr
	// ExternalIPs are published as the node's external addresses.
	ExternalIPs []netip.Addr
	// NodeLabels are "key=value", NodeTaints "key=value:effect"; both are set
	// when the node registers for the first time.
	NodeLabels []string
	NodeTaints []string
	// ClientCA verifies who calls kubelet; ServingCert and ServingKey are what
	// it shows them.
	ClientCA, ServingCert, ServingKey string
	ContainerdSocket                  string
	ClusterCIDR                       netip.Prefix
	ClusterDNS                        netip.Addr
	ClusterDomain                     string
	// ResolvConf is the file with the host's resolvers, given to pods that ask
	// for them.
	ResolvConf string
	// CgroupRoot is the cgroup below which pods live, "/" for the root.
	CgroupRoot string
	Host       Host
	// Annotations returns annotations of the Node that others read; an empty
	// value takes one away. Nil for none. It is called again when something is
	// received from Reannotate.
	Annotations func() map[string]string
	Reannotate  <-chan struct{}
	// Resources returns extended resources of the Node in decimal digits; an
	// empty value takes one away, nil leaves all as they are. It is called again
	// when something is received from Republish.
	Resources func() map[string]string
	Republish <-chan struct{}
	// After holds kubelet back until it is closed; nil holds nothing.
	After <-chan struct{}

	// Reclaim takes the node's name again at a server that may have forgotten it;
	// nil for a server's own node, which it knows.
	Reclaim func(context.Context) error

	// Now is the clock for certificates and heartbeats; nil for the machine's.
	Now func() time.Time

	// Settings of a person, "name=value", passed to upstream's flags.
	KubeletArgs   []string
	KubeProxyArgs []string
}

// Host is what the host offers, as far as kubelet and kube-proxy must know.
type Host struct {
	// CgroupV1 tells that the memory controller lives in a v1 hierarchy.
	CgroupV1 bool
	// SystemdCgroup tells that systemd owns the cgroup tree.
	SystemdCgroup bool
	// OOMScoreFixed tells that the process may not lower its OOM score.
	OOMScoreFixed bool
	// Conditions are shown as conditions of the Node object.
	Conditions []Condition
}

// Condition is one thing about the host that somebody who looks at the Node
// should know.
type Condition struct {
	// Type is a CamelCase word; it becomes "Kedge" + Type on the Node.
	Type    string
	Message string
}

// Components returns kubelet, kube-proxy and the watch over the node's own
// readiness. kubeletNeeds names what must be ready before kubelet starts.
// report tells the group about trouble of a component that runs.
func Components(cfg Config, log *slog.Logger, report func(name string, err error), kubeletNeeds ...string) []lifecycle.Component {
	addressed, made := make(chan struct{}), &registration{}
	return []lifecycle.Component{
		newKubelet(cfg, made, kubeletNeeds),
		newProxy(cfg, report, addressed),
		newNode(cfg, log.With("component", Node), report, made, addressed),
	}
}

func (c Config) now() func() time.Time {
	if c.Now == nil {
		return time.Now
	}
	return c.Now
}

func (c Config) staticPods() string { return filepath.Join(c.Layout.Agent(), "pod-manifests") }
