package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/agent/bandwidth/view"
	"github.com/kedge-io/kedge/internal/bitrate"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/tunnel/speed"
)

func newBandwidthPlanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what bandwidth wants in the kernel, or how the kernel differs",
		Long: `Print the plan: for each uplink and direction the tree of classes, and how packets
find their class. With --check the kernel is read and compared with the plan; the
lines that differ are printed. Then the exit code is 1 when there are any.`,
		Args: cobra.NoArgs,
	}
	q := addNodeQuestion(cmd.Flags())
	check := cmd.Flags().Bool("check", false, "compare the kernel with the plan")
	config.MarkCommandLineOnly(cmd.Flags(), "check")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		if !*check {
			text, err := q.text(cmd.Context(), snapshot.PathPlan)
			fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		}
		text, err := q.text(cmd.Context(), snapshot.PathCheck)
		switch {
		case err != nil:
			return err
		case text != "":
			fmt.Fprint(cmd.OutOrStdout(), text)
			return exitWith(exitFailure, nil)
		}
		fmt.Fprintln(cmd.OutOrStdout(), "the kernel is as planned")
		return nil
	}
	return cmd
}

// measureDuration and measureStreams load a line for long enough to be full and
// with enough streams that a lost packet does not empty it.
const (
	measureDuration = 10 * time.Second
	measureStreams  = 4
)

func newBandwidthMeasureCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "measure NODE",
		Short: "Measure the uplink of a node through its link, on a server",
		Long: `Measure what the uplink of a node carries in both directions, through the node's
link to this server, and print the option --uplink that says so. It takes about
three times --duration and fills the line meanwhile: pods have less, and where the
line is metered it costs money. The slower of the node's and the server's line is
what is measured, and what else uses them is missing in the figure. A node that
has --uplink already cannot be faster than that says: measure with --uplink none.
It runs on a server, whose daemon holds the links.`,
		Example: `  kedge bandwidth measure edge-1`,
		Args:    cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	output := addOutput(fs, "table", "output format: table or json")
	o := speed.Options{}
	fs.DurationVar(&o.Duration, "duration", measureDuration, "time of each of the three measurements, at most 1m")
	fs.IntVar(&o.Streams, "streams", measureStreams, "streams that carry the load at once, at most 64")
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
		m := view.NewMeasurement(bitrate.Rate(result.In), bitrate.Rate(result.Out))
		q := nodeQuestion{dataDir: dataDir, node: args[0]}
		if node, err := q.snapshot(cmd.Context()); err == nil { // a node without bandwidth holds nothing
			m = m.Under(node)
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), m)
		}
		return view.WriteMeasurement(cmd.OutOrStdout(), args[0], m)
	}
	return cmd
}
