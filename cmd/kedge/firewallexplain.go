package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/config"
)

// firewallExplain is what kedge firewall explain was asked for.
type firewallExplain struct {
	*nodeQuestion
	from, to, protocol, link string
	output                   string
}

func newFirewallExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Show which rule decides about a connection, and why",
		Long: `Show what becomes of a new connection from one end to another: each place where
something decides about it (the sender's egress, network policies, the receiver's
ingress), the rule that does, and why. An end is an address, the name of a node, or
NAMESPACE/POD; the one of --to has :PORT behind it, unless the protocol is icmp.

On a server both ends may be anywhere, and nodes with a link are asked for what their
kernel has now. On a node, or with --node, that node is asked alone, about addresses.`,
		Example: `  kedge firewall explain --from 203.0.113.7 --to edge-1:22
  kedge firewall explain --from shop/web-0 --to shop/db-0:5432
  kedge firewall explain --from edge-1 --to 192.0.2.53:53 --protocol udp`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	x := &firewallExplain{nodeQuestion: addNodeQuestion(fs)}
	fs.StringVar(&x.from, "from", "", "where the connection comes from: ADDRESS, NODE or NAMESPACE/POD")
	fs.StringVar(&x.to, "to", "", "where it goes: ADDRESS:PORT, NODE:PORT or NAMESPACE/POD:PORT")
	fs.StringVar(&x.protocol, "protocol", "tcp", "its protocol: tcp, udp, icmp or, between pods, sctp")
	fs.StringVar(&x.link, "link", "", "device by which it comes to the node that is asked with --node")
	fs.StringVarP(&x.output, "output", "o", "table", "output format: table or json")
	config.MarkCommandLineOnly(fs, "from", "to", "protocol", "link", "output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := x.check(); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		return x.run(cmd.Context(), cmd.OutOrStdout())
	}
	return cmd
}

func (x *firewallExplain) check() error {
	if err := checkOutput(x.output); err != nil {
		return err
	}
	if x.from == "" || x.to == "" {
		return usageError(errors.New("one end is missing: give --from A and --to B:PORT"))
	}
	if known := []string{"tcp", "udp", "icmp", "sctp"}; !slices.Contains(known, x.protocol) {
		return usageError(fmt.Errorf("--protocol %q: expected tcp, udp, icmp or sctp", x.protocol))
	}
	return nil
}

func (x *firewallExplain) run(ctx context.Context, w io.Writer) error {
	query := url.Values{view.QueryFrom: {x.from}, view.QueryTo: {x.to}, view.QueryProtocol: {x.protocol}}
	if x.node == "" && x.link == "" {
		var explanation view.Explanation
		err := x.json(ctx, view.PathExplain, query, &explanation)
		switch {
		case unknownPath(err): // no server: the node of this host is asked
		case err != nil:
			return err
		case x.output == "json":
			return writeJSON(w, explanation)
		default:
			return view.WriteExplanation(w, explanation)
		}
	}
	if x.link != "" {
		query.Set(view.QueryLink, x.link)
	}
	var decision view.Decision
	if err := x.json(ctx, view.PathDecide, query, &decision); err != nil {
		return err
	}
	if x.output == "json" {
		return writeJSON(w, decision)
	}
	return view.WriteDecision(w, decision)
}
