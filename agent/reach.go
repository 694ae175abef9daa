package agent

import (
	"context"
	"net/netip"

	"github.com/kedge-io/kedge/agent/hostports"
	"github.com/kedge-io/kedge/agent/kube"
	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/agent/runtime"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/tunnel/access"
)

// reach is what may be reached on this node from elsewhere.
type reach struct {
	runtime *runtime.HostNetwork
	ports   *hostports.Watcher
	pods    *network.Range
	named   []netip.Addr
}

func (a *Agent) newReach() (*reach, error) {
	r, err := runtime.NewHostNetwork(a.runtimeConfig())
	if err != nil {
		return nil, err
	}
	return &reach{
		runtime: r, ports: hostports.New(r, a.log, a.reporter(hostports.Name)),
		pods: network.NewRange(a.cfg.Layout.CNIState()), named: a.cfg.namedIPs(),
	}, nil
}

// component follows the ports that pods in the host's network declare.
func (r *reach) component() lifecycle.Component {
	c := r.ports.Component(runtime.ComponentName)
	run := c.Run
	c.Run = func(ctx context.Context, ready func()) error {
		defer func() { _ = r.runtime.Close() }()
		return run(ctx, ready)
	}
	return c
}

// rules are what the server may dial, as of now.
func (r *reach) rules() access.Rules {
	rules := access.Rules{KubeletPort: kube.KubeletPort, HostAddresses: r.named, HostPorts: r.ports.TCP()}
	if pods := r.pods.PodCIDR(); pods.IsValid() {
		rules.PodRanges = []netip.Prefix{pods}
	}
	return rules
}

// hostPorts are what other nodes may reach on this host over the relay.
func (r *reach) hostPorts() []network.HostPort {
	ports := r.ports.Ports()
	out := make([]network.HostPort, len(ports))
	for i, p := range ports {
		out[i] = network.HostPort{Protocol: p.Protocol, Port: p.Number}
	}
	return out
}
