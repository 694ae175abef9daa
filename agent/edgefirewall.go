package agent

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/kedge-io/kedge/agent/firewall"
	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

// firewallHost is what a person said of the host's firewall.
func (c Config) firewallHost() firewall.Host {
	return firewall.Host{Failsafe: c.Failsafe, Door: c.Door, ResolvConf: c.ResolvConf}
}

// restoreFirewall puts the last proven rules in force, before the node so much as
// looks for a server.
func (a *Agent) restoreFirewall(ctx context.Context) {
	r, err := firewall.Restore(ctx, a.cfg.Layout, a.cfg.firewallHost(), a.log)
	switch log := a.log.With("component", firewall.Name); {
	case err != nil:
		log.Error("the last rules of the firewall are not in force", "error", err)
	case r.Damaged != nil:
		log.Error("the last rules of the firewall are lost, only what is implied may come in", "error", r.Damaged)
	case r.Ruleset != nil:
		log.Info("the last rules of the firewall are in force", "revision", r.Revision)
	}
}

func (a *Agent) newFirewall(server string, cluster stack, pods *network.Range, ways *pipe.Dialer) (*firewall.Firewall, error) {
	cfg := firewall.Config{
		NodeName: a.cfg.NodeName, Kubeconfig: a.id.Files.AgentConfig, Layout: a.cfg.Layout, Host: a.cfg.firewallHost(),
		Way: a.servers, Prove: a.proof(server, ways).reach, PodRange: pods.PodCIDR,
		PodLink: network.BridgeName, RelayLink: network.RelayName, ClusterDNS: cluster.dns, API: cluster.api,
		Software: a.cfg.Version,
	}
	if len(cluster.services) > 0 {
		cfg.Services = cluster.services[0]
	}
	return firewall.New(cfg, a.log, a.reporter(firewall.Name))
}

// FirewallHandlers are what kedge firewall asks a node for, by path, for the
// status socket; none before Components.
func (a *Agent) FirewallHandlers() map[string]http.Handler {
	if a.firewall == nil {
		return nil
	}
	handlers := a.firewall.Handlers()
	for path, h := range handlers {
		handlers[path] = a.ownOnly(h)
	}
	return handlers
}

// FirewallStream takes rulesets from a server's stream until it ends or ctx does.
// A server gives those of its own node here.
func (a *Agent) FirewallStream(ctx context.Context, conn net.Conn) { a.firewall.Serve(ctx, conn) }

// FirewallFacts are what no rule takes from this node now.
func (a *Agent) FirewallFacts() model.Facts { return a.firewall.Facts() }

// FirewallNames are the addresses that DNS names of rules have on this node now.
// The map must not be changed.
func (a *Agent) FirewallNames() map[string][]netip.Addr { return a.firewall.Names() }

// FirewallRestored is what was on disk when the node began; nil for nothing.
func (a *Agent) FirewallRestored() *model.Ruleset { return a.firewall.Restored() }

// proof looks whether the server is within reach over a fresh connection. It goes
// the way of the link and to nowhere else: that the API answers at an address that
// was learned says nothing of the tunnel.
type proof struct {
	client *http.Client
	url    string
}

// proof makes connections as the link does: marked, through the proxy if there is
// one.
func (a *Agent) proof(server string, ways *pipe.Dialer) proof {
	return proof{
		url: "https://" + server + wire.PathPing,
		client: &http.Client{
			Transport: &http.Transport{DialContext: ways.DialContext, TLSClientConfig: a.enroll.TLS(), DisableKeepAlives: true},
		},
	}
}

// reach returns nil when the server has answered.
func (p proof) reach(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	// Whatever it says, it has been reached: nobody else has its certificate.
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, wire.MaxBody))
	return err
}
