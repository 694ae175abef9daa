package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
)

func newFirewallCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "firewall",
		Short: "Look at the edge firewall, and at what a change would do",
	}
	cmd.AddCommand(newFirewallStatusCommand(), newFirewallPlanCommand(), newFirewallCountersCommand(), newFirewallExplainCommand(), newFirewallRestoreCommand())
	return cmd
}

// firewallTimeout bounds one question about firewalls; a server may ask all of
// its nodes for an answer.
const firewallTimeout = 30 * time.Second

// json asks for a value.
func (q *nodeQuestion) json(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, firewallTimeout)
	defer cancel()
	if query == nil {
		query = url.Values{}
	}
	if q.node != "" {
		query.Set(view.QueryNode, q.node)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	err := health.Ask(ctx, paths.New(*q.dataDir).StatusSocket(), http.MethodGet, path, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(into)
	})
	return explainStatus(err, *q.dataDir)
}

// unknownPath tells that the daemon is none that answers such questions: what
// is asked about all nodes only a server knows.
func unknownPath(err error) bool {
	var refused *health.RefusedError
	return errors.As(err, &refused) && refused.Code == http.StatusNotFound
}

func newFirewallStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which nodes enforce the newest rules, or how far one node is",
		Long: `On a server, show for each node whether it enforces the newest rules, since when,
how long the latest change took from being made to being acknowledged (LATENCY), how
much of that the node's kernel took (KERNEL), and the addresses that the servers see it
come from. On a node, or with --node, show what that node enforces and what is implied
on it.

The exit code is 1 when a node went back to its former rules, or could not apply the
newest ones.`,
		Args: cobra.NoArgs,
	}
	q := addNodeQuestion(cmd.Flags())
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		if q.node == "" {
			var fleet view.Fleet
			err := q.json(cmd.Context(), view.PathStatus, nil, &fleet)
			if err == nil {
				return showFleet(cmd.OutOrStdout(), fleet, *output)
			}
			if !unknownPath(err) {
				return err
			}
		}
		var node view.Node
		if err := q.json(cmd.Context(), view.PathNode, nil, &node); err != nil {
			return err
		}
		return showNode(cmd.OutOrStdout(), node, *output)
	}
	return cmd
}

func showFleet(w io.Writer, fleet view.Fleet, format string) error {
	write := func() error { return view.WriteFleet(w, fleet, time.Now()) }
	if format == "json" {
		write = func() error { return writeJSON(w, fleet) }
	}
	if err := write(); err != nil {
		return err
	}
	for _, n := range fleet.Nodes {
		if n.State == "RolledBack" || n.State == "Failed" {
			return exitWith(exitFailure, nil)
		}
	}
	return nil
}

func showNode(w io.Writer, node view.Node, format string) error {
	write := func() error { return view.WriteNode(w, node) }
	if format == "json" {
		write = func() error { return writeJSON(w, node) }
	}
	if err := write(); err != nil {
		return err
	}
	if node.State == "rolledBack" || node.State == "failed" {
		return exitWith(exitFailure, nil)
	}
	return nil
}

func newFirewallCountersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "counters",
		Short: "Show what the rules of a node have matched",
		Long: `Show how many packets and bytes each rule of a node has matched since its daemon
started, those that matched most first. Of an established connection only the packets
count that begin it. LIMITED are packets that were more than a rule's rate or
connections allow. Names are FIREWALL/ingress/RULE, default/FIREWALL for what no rule
matched, implied/NAME for what is always open, service/NAMESPACE/NAME/PORT for load
balancers, and NAMESPACE/POLICY/ingress/N for network policies.`,
		Args: cobra.NoArgs,
	}
	q := addNodeQuestion(cmd.Flags())
	all := cmd.Flags().Bool("all", false, "show rules that matched nothing, too")
	config.MarkCommandLineOnly(cmd.Flags(), "all")
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		var counters []view.Counter
		if err := q.json(cmd.Context(), view.PathCounters, nil, &counters); err != nil {
			return err
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), counters)
		}
		return view.WriteCounters(cmd.OutOrStdout(), counters, *all)
	}
	return cmd
}
