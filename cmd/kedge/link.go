package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/tunnel/view"
)

func newLinkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Look at the links between nodes and servers",
	}
	cmd.AddCommand(newLinkStatusCommand(), newLinkBenchCommand())
	return cmd
}

func newLinkStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NODE]",
		Short: "Show the links of the daemon on this host",
		Long: `Show the links of the daemon on this host: on a server one for each node, on an
agent the one to its server. With a name all is shown that is known of one link,
with a line for each lane.

The exit code is 0 when every link shown is up, 1 when not, 3 when no daemon
runs on the data directory.`,
		Args: cobra.MaximumNArgs(1),
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	output := addOutput(fs, "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		report, err := fetchLinks(cmd.Context(), *dataDir, args)
		if err != nil {
			return err
		}
		if err := writeLinks(cmd.OutOrStdout(), report, *output, len(args) > 0); err != nil {
			return fmt.Errorf("print links: %w", err)
		}
		for _, l := range report.Links {
			if !l.Up {
				return exitWith(exitFailure, nil)
			}
		}
		return nil
	}
	return cmd
}

// fetchLinks asks the daemon of dataDir for its links, or for that to the peer
// in args.
func fetchLinks(ctx context.Context, dataDir string, args []string) (view.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	path := view.PathStatus
	if len(args) > 0 {
		path += "?peer=" + url.QueryEscape(args[0])
	}
	var report view.Report
	err := health.Ask(ctx, paths.New(dataDir).StatusSocket(), http.MethodGet, path, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&report)
	})
	return report, explainStatus(err, dataDir)
}

func writeLinks(w io.Writer, report view.Report, format string, one bool) error {
	switch {
	case format == "json":
		return writeJSON(w, report)
	case one && len(report.Links) > 0:
		var links strings.Builder
		for _, l := range report.Links {
			if err := view.WriteLink(&links, l, time.Now()); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, links.String())
		return err
	}
	return view.WriteTable(w, report, time.Now())
}
