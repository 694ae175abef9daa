package agent

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/uplink"
	"github.com/kedge-io/kedge/agent/enroll"
	"github.com/kedge-io/kedge/agent/relay"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/paths"
)

// Config says what a node is to be. It is not changed after [New].
type Config struct {
	Layout paths.Layout
	// ServerURL is the server as the user gave it, https://HOST:6443.
	ServerURL string
	// Token is the join token; empty on a node that has joined.
	Token    string
	NodeName string
	// NodeIPs are this node's addresses, the first one its main one.
	NodeIPs []netip.Addr
	// NodeIPsGiven tells that a person named NodeIPs. They are the node's
	// internal addresses then; otherwise that is the first one of its pod range.
	NodeIPsGiven bool
	ExternalIPs  []netip.Addr
	// Labels are "key=value", Taints "key=value:effect".
	Labels, Taints []string
	// ResolvConf is the file with the host's resolvers.
	ResolvConf string
	// CgroupRoot is the cgroup below which pods live, "/" for the root.
	CgroupRoot string
	// Failsafe may always reach these ports of the node, whatever the cluster's
	// firewall says. Door is the port of the server on this machine, 0 for none.
	Failsafe []model.Failsafe
	Door     uint16
	// RegistriesFile has the settings of container registries; MirrorsOnly never
	// asks a registry itself that has mirrors.
	RegistriesFile string
	MirrorsOnly    bool
	// Uplink says over which links the node reaches others and what they carry.
	Uplink        uplink.Config
	KubeletArgs   []string
	KubeProxyArgs []string
	Debug         bool
	// JoinTimeout bounds a first join; 0 for the default.
	JoinTimeout time.Duration

	// Issue and ServerCA are set for a server's own node, which needs neither
	// token nor link.
	Issue    enroll.Issuer
	ServerCA string
	// Relay is the way of a server's own node to the pods of others; nil where
	// that is the link.
	Relay relay.Link
	// KubeletAfter holds kubelet back until it is closed; nil holds nothing.
	KubeletAfter <-chan struct{}
	// Rights names the component that gives the node's own parts their rights
	// in the API; empty where that was done before the node joined.
	Rights string

	// Proxy chooses an HTTP proxy for the way to the server; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// Env is the environment that child processes may take from, in the form
	// of os.Environ.
	Env []string
	// Version is kedge's.
	Version string
	// Now is the clock for everything about certificates, nil for the machine's;
	// Learn is told the time of servers.
	Now   func() time.Time
	Learn func(time.Time)
}

// namedIPs are the node's addresses if a person named them.
func (c Config) namedIPs() []netip.Addr {
	if c.NodeIPsGiven {
		return c.NodeIPs
	}
	return nil
}

// Validate reports all problems that can be told without touching the host,
// joined.
func (c Config) Validate() error {
	var errs []error
	for _, l := range c.Labels {
		if key, _, ok := strings.Cut(l, "="); !ok || key == "" {
			errs = append(errs, fmt.Errorf("--node-label %q is not of the form key=value", l))
		}
	}
	for _, t := range c.Taints {
		key, effect, ok := strings.Cut(t, ":")
		if !ok || key == "" || (effect != "NoSchedule" && effect != "PreferNoSchedule" && effect != "NoExecute") {
			errs = append(errs, fmt.Errorf("--node-taint %q is not of the form key=value:NoSchedule (or PreferNoSchedule, NoExecute)", t))
		}
	}
	if !strings.HasPrefix(c.CgroupRoot, "/") {
		errs = append(errs, fmt.Errorf("--cgroup-root %q must begin with a slash", c.CgroupRoot))
	}
	for _, ip := range append(append([]netip.Addr{}, c.NodeIPs...), c.ExternalIPs...) {
		if ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() {
			errs = append(errs, fmt.Errorf("address %s cannot be that of a node: see --node-ip and --node-external-ip", ip))
		}
	}
	return errors.Join(append(errs, c.Uplink.Validate())...)
}
