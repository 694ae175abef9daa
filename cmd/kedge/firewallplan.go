package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
)

// maxPlan bounds the answer to a plan, in bytes: rulesets of a large fleet as
// text.
const maxPlan = 64 << 20

// firewallPlan is what kedge firewall plan was asked for.
type firewallPlan struct {
	*nodeQuestion
	files   []string
	deleted []string
	whole   bool
	output  string
}

func newFirewallPlanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a change would do to the nodes, on a server",
		Long: `Show what would become of the rules of each node if manifests of EdgeFirewalls and
AddressSets were applied, or firewalls deleted: the difference to now (- gone, + new,
> later than before), rules that could never match (!), and what of the node's own
needs the rules alone would cut. Of these, * is what is implied and stays open, ! is
what would really be cut. Nothing is changed. It is asked on a server.

The exit code is 1 when the manifests cannot be followed, or something would be cut.`,
		Example: `  kedge firewall plan -f firewall.yaml
  kedge firewall plan -f firewall.yaml --node edge-1 --whole
  kedge firewall plan --delete shops`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	p := &firewallPlan{nodeQuestion: &nodeQuestion{dataDir: addDataDir(fs)}}
	fs.StringVar(&p.node, "node", "", "show one node only (default: all)")
	fs.StringArrayVarP(&p.files, "filename", "f", nil, "file with manifests, - for standard input; may be given several times")
	fs.StringSliceVar(&p.deleted, "delete", nil, "EdgeFirewall to leave out; may be given several times")
	fs.BoolVar(&p.whole, "whole", false, "show the whole rules rather than the difference")
	fs.StringVarP(&p.output, "output", "o", "table", "output format: table or json")
	config.MarkCommandLineOnly(fs, "node", "filename", "delete", "whole", "output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(p.output); err != nil {
			return err
		}
		if len(p.files) == 0 && len(p.deleted) == 0 && !p.whole {
			return usageError(errors.New("nothing to plan: give manifests with -f FILE, or --delete NAME, or --whole for the rules of now"))
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		return p.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
	}
	return cmd
}

func (p *firewallPlan) run(ctx context.Context, in io.Reader, out io.Writer) error {
	manifests, err := p.read(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, firewallTimeout)
	defer cancel()
	query := url.Values{view.QueryDelete: p.deleted}
	if p.node != "" {
		query.Set(view.QueryNode, p.node)
	}
	var plan view.Plan
	err = health.Post(ctx, paths.New(*p.dataDir).StatusSocket(), view.PathPlan+"?"+query.Encode(), bytes.NewReader(manifests), maxPlan, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&plan)
	})
	var refused *health.RefusedError
	if p.node == "" && unknownPath(err) || errors.As(err, &refused) && refused.Text == "404 page not found" {
		return errors.New("this is no server: plan on the server, whose daemon knows all nodes")
	}
	if err != nil {
		return explainStatus(err, *p.dataDir)
	}
	if p.output == "json" {
		err = writeJSON(out, plan)
	} else {
		err = view.WritePlan(out, plan, p.whole)
	}
	if err == nil && (len(plan.Problems) > 0 || plan.Cuts()) {
		return exitWith(exitFailure, nil)
	}
	return err
}

// read joins all files as documents of one.
func (p *firewallPlan) read(in io.Reader) ([]byte, error) {
	var all []byte
	for _, name := range p.files {
		var raw []byte
		var err error
		if name == "-" {
			raw, err = io.ReadAll(io.LimitReader(in, view.MaxManifest+1))
		} else {
			raw, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		all = append(append(all, raw...), "\n---\n"...)
	}
	if len(all) > view.MaxManifest {
		return nil, fmt.Errorf("the manifests have %d bytes, at most %d: plan them in parts", len(all), view.MaxManifest)
	}
	return all, nil
}
