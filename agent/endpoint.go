package agent

import (
	"crypto/tls"
	"path/filepath"

	"github.com/kedge-io/kedge/agent/apilb"
	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

// dialer finds the way to servers for everything on this node that speaks with
// them: the API endpoint and the link.
func (a *Agent) dialer(server string) *pipe.Dialer {
	return pipe.New(pipe.Config{
		Server: server, Proxy: a.cfg.Proxy,
		TLS:     func() (*tls.Config, error) { return a.enroll.TLS(), nil },
		NetDial: a.servers.Dial, Lookup: a.servers.Lookup,
	}, a.log)
}

// endpoint makes the node's own end of the API.
func (a *Agent) endpoint(server string, cluster stack, ways *pipe.Dialer) (err error) {
	cfg := apilb.Config{
		Listen: apilb.Address, Service: cluster.api, PodLink: network.BridgeName, Server: server, Dialer: ways,
		File: filepath.Join(a.cfg.Layout.Agent(), "servers.json"), Report: a.reporter(apilb.Name),
	}
	// A server's own node has its server in the same process; where that is
	// down, the node is.
	if a.cfg.Issue == nil {
		cfg.Learn = apilb.Watch(a.id.Files.AgentConfig, "kedge/"+a.cfg.Version)
	}
	a.entry, err = apilb.New(cfg, a.log)
	return err
}
