package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/spf13/cobra"
)

// statusInterval is how often --wait asks.
const statusInterval = 200 * time.Millisecond

func newStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the components of the daemon on this host",
		Long: `Show the components of the daemon on this host: state, since when, and the last
error; and the conditions of the host that kedge found and adapted to.

The exit code is 0 when every component is ready, 1 when not, 3 when no daemon
runs on the data directory.`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	output := addOutput(fs, "table", "output format: table or json")
	wait := fs.Duration("wait", 0, "wait up to this long for the daemon to be ready")
	config.MarkCommandLineOnly(fs, "wait")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		report, err := fetchStatus(cmd.Context(), *dataDir, *wait)
		if err != nil {
			return err
		}
		if err := writeStatus(cmd.OutOrStdout(), report, *output); err != nil {
			return fmt.Errorf("print status: %w", err)
		}
		if !report.Ready {
			return exitWith(exitFailure, nil)
		}
		return nil
	}
	return cmd
}

func writeStatus(w io.Writer, r health.Report, format string) error {
	if format == "json" {
		return writeJSON(w, r)
	}
	return health.WriteTable(w, r, time.Now())
}

// fetchStatus asks the daemon of dataDir, again and again for as long as wait
// allows it not to be ready.
func fetchStatus(ctx context.Context, dataDir string, wait time.Duration) (health.Report, error) {
	socket := paths.New(dataDir).StatusSocket()
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	deadline := time.Now().Add(wait)
	for {
		r, err := health.Fetch(ctx, socket)
		mayChange := (err == nil && !r.Ready) || errors.Is(err, health.ErrNotRunning)
		if !mayChange || time.Now().After(deadline) {
			return r, explainStatus(err, dataDir)
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-ticker.C:
		}
	}
}

// explainStatus adds the remedy to what Fetch said.
func explainStatus(err error, dataDir string) error {
	switch {
	case errors.Is(err, health.ErrNotRunning):
		return exitWith(exitNotRunning, fmt.Errorf("%w (data directory %s): start it with \"systemctl start kedge\" or \"kedge server\", or name another data directory with --data-dir", err, dataDir))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run it as root", err)
	default:
		return err
	}
}
