package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/tunnel/speed"
	"github.com/kedge-io/kedge/tunnel/view"
)

// benchSlack is what a measurement may take beyond its three durations: dials
// on a slow link.
const benchSlack = time.Minute

func newLinkBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench NODE",
		Short: "Measure the link to a node, on a server",
		Long: `Measure the link to a node: the time of a dial, the round trip of 100 bytes on an
idle and on a busy link, and the throughput in each direction. It takes about
three times --duration and fills the line meanwhile, which costs money where the
line is metered. It runs on a server, whose daemon holds the links.`,
		Args: cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	output := addOutput(fs, "table", "output format: table or json")
	o := speed.Options{}
	fs.DurationVar(&o.Duration, "duration", speed.DefaultDuration, "time of each of the three measurements, at most 1m")
	fs.IntVar(&o.Streams, "streams", speed.DefaultStreams, "streams that carry the load at once, at most 64")
	config.MarkCommandLineOnly(fs, "duration", "streams")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if err := o.Check(); err != nil {
			return usageError(err)
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		result, err := measureLink(cmd.Context(), *dataDir, args[0], o)
		if err != nil {
			return err
		}
		if *output == "json" {
			err = writeJSON(cmd.OutOrStdout(), result)
		} else {
			err = view.WriteBench(cmd.OutOrStdout(), args[0], result)
		}
		if err != nil {
			return fmt.Errorf("print figures: %w", err)
		}
		return nil
	}
	return cmd
}

func measureLink(ctx context.Context, dataDir, node string, o speed.Options) (speed.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*o.Duration+benchSlack)
	defer cancel()
	var result speed.Result
	err := health.Ask(ctx, paths.New(dataDir).StatusSocket(), http.MethodPost, view.PathBench+"?"+view.BenchQuery(node, o), func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&result)
	})
	var refused *health.RefusedError
	if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
		err = fmt.Errorf("this is no server: measure the line of %s on the server that it is linked to", node)
	}
	return result, explainStatus(err, dataDir)
}
