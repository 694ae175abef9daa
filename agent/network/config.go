package network

import (
	"errors"
	"fmt"
	"net/netip"
)

// Config is what the pod network needs to know before it starts.
type Config struct {
	// NodeName is the name of this node's Node object.
	NodeName string
	// ClusterCIDR is the IPv4 range of all pods. Traffic inside it keeps its
	// source address.
	ClusterCIDR netip.Prefix
	// Kubeconfig is the file with which nodes are watched; it may appear as
	// late as when the component runs.
	Kubeconfig string
	// ConfDir is where 10-kedge.conflist is written.
	ConfDir string
	// NodeIPs are the addresses that a person gave to the node.
	NodeIPs []netip.Addr
	// HostPorts returns the ports of pods in the host's network, which other
	// nodes may reach over the relay; nil for none. It is called again when
	// something is received from HostPortsChanged.
	HostPorts        func() []HostPort
	HostPortsChanged <-chan struct{}
	// ProbeKeyFile keeps the key by which nodes of one site know each other; it
	// is made when it is missing. Empty looks for no direct paths.
	ProbeKeyFile string
	// StateDir keeps pod addresses and the last known state over restarts. It
	// must be on a disk that outlives a reboot.
	StateDir string
}

// Validate reports every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	for name, v := range map[string]string{
		"node name": c.NodeName, "kubeconfig": c.Kubeconfig,
		"CNI configuration directory": c.ConfDir, "CNI state directory": c.StateDir,
	} {
		if v == "" {
			errs = append(errs, fmt.Errorf("pod network: no %s", name))
		}
	}
	if !c.ClusterCIDR.IsValid() || !c.ClusterCIDR.Addr().Is4() {
		errs = append(errs, fmt.Errorf("cluster-cidr %q: pods have IPv4 addresses only, give a range such as 10.42.0.0/16", c.ClusterCIDR))
	}
	return errors.Join(errs...)
}
