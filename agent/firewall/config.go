package firewall

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/paths"
)

// Name is the component's name.
const Name = "firewall"

// Config says what the component is about. It is not changed after [New].
type Config struct {
	NodeName string
	// Kubeconfig is that of kedge's own parts on the node.
	Kubeconfig string
	Layout     paths.Layout
	Host       Host
	// Way are the sockets to servers.
	Way *Way
	// Prove makes a fresh connection to a server, as the link does, and has it
	// answer.
	Prove func(ctx context.Context) error
	// PodRange is the node's own; it is asked at each pass and must not block.
	PodRange func() netip.Prefix
	// PodLink and RelayLink are the devices of pods of this and of other nodes.
	PodLink, RelayLink string
	// Services are the addresses of services, ClusterDNS and API two of them that
	// are on this machine.
	Services        netip.Prefix
	ClusterDNS, API netip.Addr
	// Software is kedge's version.
	Software string
}

// Host is what a person said about the host's firewall, and what of it is known
// without a cluster.
type Host struct {
	// Failsafe may always reach these ports of the node.
	Failsafe []model.Failsafe
	// Door is the port of the server on this machine; 0 for none.
	Door uint16
	// ResolvConf is the file with the host's resolvers; empty for the default.
	ResolvConf string
}

// apiPorts are those of the service kubernetes as pods ask for it and as the
// node's rules see it after the rewrite of agent/apilb.
var apiPorts = []uint16{443, 6444}

// Validate reports all problems, joined.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		what    string
		missing bool
	}{
		{"node name", c.NodeName == ""}, {"kubeconfig", c.Kubeconfig == ""}, {"data directory", c.Layout.DataDir == ""},
		{"way to servers", c.Way == nil}, {"proof", c.Prove == nil}, {"pod range", c.PodRange == nil},
	} {
		if f.missing {
			errs = append(errs, errors.New("the firewall needs a "+f.what))
		}
	}
	return errors.Join(errs...)
}

// File is where the last proven state is kept.
func File(l paths.Layout) string { return filepath.Join(l.Agent(), "firewall.json") }

// podsFile is where addresses of pods are kept until the next boot.
func podsFile(l paths.Layout) string { return filepath.Join(l.RunDir, "firewall-pods.json") }
