package server

import (
	"context"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/balancer"
	"github.com/kedge-io/kedge/server/kube"
)

// Ports of nodes that no service may take from the outside.
const (
	sshPort     = 22
	kubeletPort = 10250
)

// buildBalancer makes what gives services the addresses of nodes.
func (s *Server) buildBalancer() {
	if slices.Contains(s.cfg.Disable, balancer.Name) {
		return
	}
	s.balancer = balancer.New(balancer.Config{
		Client: s.supervisorConfig, OwnNode: s.localNode(), Own: s.publicAddresses(),
		Cluster: []netip.Prefix{s.cfg.Net.Pods, s.cfg.Net.Services},
		Reserved: map[uint16]string{
			uint16(s.cfg.Port): "the servers, which every node calls",
			kubeletPort:        "kubelet",
			sshPort:            "the nodes' own ssh",
		},
		Changed: func() {
			if s.firewall != nil {
				s.firewall.Kick()
			}
		},
	}, s.log.With("component", balancer.Name))
}

// balancerComponents is the component, unless it is disabled.
func (s *Server) balancerComponents() []lifecycle.Component {
	if s.balancer == nil {
		return nil
	}
	return []lifecycle.Component{s.balancer.Component(kube.APIServer)}
}

// known is a feed of the firewall that is a component of its own.
type known struct{ *balancer.Balancer }

func (known) Run(context.Context) error { return nil }
