package main

import (
	"context"
	"maps"
	"net"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/agent/host"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server"
	"github.com/kedge-io/kedge/server/addons"
	"github.com/kedge-io/kedge/server/kube"
)

func newServerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane and, by default, a node",
		Long: `Run the control plane of a cluster and, unless --disable-agent is given, a node
of it. Every option is also a key of the configuration file and a variable of
the environment (KEDGE_ and the name in capitals).`,
		Example: `  kedge server
  kedge server --tls-san edge.example.org --node-external-ip 203.0.113.7`,
		Args: cobra.NoArgs,
	}
	var node nodeOptions
	var opts serverOptions
	node.bind(cmd.Flags())
	opts.bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := newDaemon(cmd, "server", &node)
		if err != nil {
			return err
		}
		return runServer(cmd.Context(), d, &node, &opts)
	}
	return cmd
}

func runServer(ctx context.Context, d *daemon, node *nodeOptions, opts *serverOptions) error {
	cfg, err := opts.config(d.id)
	if err != nil {
		return err
	}
	cfg.Now = d.clock.Now
	ac := node.agentConfig(d.id)
	ac.Now = d.clock.Now
	var facts host.Facts
	if cfg.RunsNode {
		if facts, err = agent.Check(ctx, ac); err != nil {
			return err
		}
	}
	if err := d.acquire(cfg.RunsNode); err != nil {
		return err
	}
	defer d.abandon()
	if err := d.finishRestore(); err != nil {
		return err
	}
	if cfg.RunsNode {
		if err := agent.CheckPorts(); err != nil {
			return err
		}
	}
	if err := noteFootprint(d.id.layout, node.cgroupRoot, opts.kubeconfig); err != nil {
		return err
	}
	srv, err := server.New(cfg, d.log, d.report)
	if err != nil {
		return err
	}
	defer srv.Close()
	d.handlers, d.facts = srv.LinkHandlers(), srv.Conditions
	maps.Copy(d.handlers, srv.SnapshotHandlers())
	maps.Copy(d.handlers, srv.DatastoreHandlers())
	comps := append(srv.Components(), d.clockComponent())
	var own map[string]http.Handler
	var renewOwn http.Handler
	if cfg.RunsNode {
		ac.ServerURL = "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port))
		ac.Issue, ac.ServerCA, ac.KubeletAfter = srv.Issue, srv.CA(), srv.ControllersBuilt()
		ac.Rights, ac.Relay = addons.Name, srv.Relay()
		ac.Door = uint16(cfg.Port) //nolint:gosec // Validate has seen that it is a port
		nodeSide, err := agent.New(ctx, ac, facts, d.log, d.report)
		if err != nil {
			return err
		}
		d.adapted(nodeSide.Adaptations())
		more, err := nodeSide.Components(kube.APIServer)
		if err != nil {
			return err
		}
		comps = append(comps, more...)
		srv.ServeFirewall(nodeSide)
		own = nodeSide.BandwidthHandlers()
		maps.Copy(own, nodeSide.FirewallHandlers())
		renewOwn = nodeSide.LinkHandlers()[wire.PathRenewNow]
	}
	maps.Copy(d.handlers, srv.CertificateHandlers(renewOwn))
	maps.Copy(d.handlers, srv.AskNodes(own, snapshot.Paths...))
	maps.Copy(d.handlers, srv.FirewallHandlers(own))
	return d.run(ctx, comps)
}
