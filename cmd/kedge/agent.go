package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent"
)

func newAgentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run an edge node that joins a server",
		Long: `Run an edge node. It makes outbound connections to the server's port only, so it
works behind NAT. The token is needed for the first start and may be gone later.`,
		Example: `  kedge agent --server https://server:6443 --token K1...
  KEDGE_URL=https://server:6443 KEDGE_TOKEN=K1... kedge agent`,
		Args: cobra.NoArgs,
	}
	var node nodeOptions
	var join joinOptions
	node.bind(cmd.Flags())
	join.bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := newDaemon(cmd, "agent", &node)
		if err != nil {
			return err
		}
		cfg := node.agentConfig(d.id)
		cfg.ServerURL, cfg.Proxy, cfg.JoinTimeout = join.server, http.ProxyFromEnvironment, join.timeout
		cfg.Now, cfg.Learn = d.clock.Now, d.clock.Learn
		if cfg.Token, err = join.secret(); err != nil {
			return err
		}
		facts, err := agent.Check(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		if err := d.acquire(true); err != nil {
			return err
		}
		defer d.abandon()
		if err := agent.CheckPorts(); err != nil {
			return err
		}
		if err := noteFootprint(d.id.layout, node.cgroupRoot, ""); err != nil {
			return err
		}
		a, err := agent.New(cmd.Context(), cfg, facts, d.log, d.report)
		if err != nil {
			return err
		}
		d.adapted(a.Adaptations())
		d.handlers = a.LinkHandlers()
		comps, err := a.Components()
		if err != nil {
			return err
		}
		maps.Copy(d.handlers, a.BandwidthHandlers())
		maps.Copy(d.handlers, a.FirewallHandlers())
		return d.run(cmd.Context(), append(comps, d.clockComponent()))
	}
	return cmd
}

// secret returns the token from wherever it was given. It may be empty: a node
// that has joined needs none.
func (o *joinOptions) secret() (string, error) {
	if o.tokenFile == "" {
		return strings.TrimSpace(o.token), nil
	}
	if o.token != "" {
		return "", usageError(fmt.Errorf("--token and --token-file are both given: keep one"))
	}
	data, err := os.ReadFile(o.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
