package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
)

func newBandwidthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bandwidth",
		Short: "Look at the bandwidth of pods, and measure a node's uplink",
	}
	cmd.AddCommand(newBandwidthTopCommand(), newBandwidthShowCommand(), newBandwidthPlanCommand(), newBandwidthMeasureCommand())
	return cmd
}

// bandwidthTimeout bounds one question about bandwidth, also through a link.
const bandwidthTimeout = 10 * time.Second

// nodeQuestion is whom the commands ask: the daemon of a data directory about
// its own node or, on a server, about another.
type nodeQuestion struct {
	dataDir *string
	node    string
}

func addNodeQuestion(fs *pflag.FlagSet) *nodeQuestion {
	q := &nodeQuestion{dataDir: addDataDir(fs)}
	fs.StringVar(&q.node, "node", "", "node to ask through its link, on a server (default: the node of this host)")
	config.MarkCommandLineOnly(fs, "node")
	return q
}

// ask hands the answer to a question to read.
func (q *nodeQuestion) ask(ctx context.Context, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, bandwidthTimeout)
	defer cancel()
	if q.node != "" {
		path += "?" + url.Values{snapshot.QueryNode: {q.node}}.Encode()
	}
	err := health.Ask(ctx, paths.New(*q.dataDir).StatusSocket(), http.MethodGet, path, read)
	return explainStatus(err, *q.dataDir)
}

func (q *nodeQuestion) snapshot(ctx context.Context) (n snapshot.Node, err error) {
	err = q.ask(ctx, snapshot.PathStatus, func(body io.Reader) error { return json.NewDecoder(body).Decode(&n) })
	return n, err
}

func (q *nodeQuestion) text(ctx context.Context, path string) (string, error) {
	var text []byte
	err := q.ask(ctx, path, func(body io.Reader) (err error) {
		text, err = io.ReadAll(body)
		return err
	})
	return string(text), err
}

func newBandwidthShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [NAMESPACE/]POD",
		Short: "Show the limits of a pod, where they come from and what they do",
		Long: `Show all that is known of the bandwidth of one pod: its limits and those of its
containers with the annotation or policy that each comes from, its classes in the
kernel with what they have counted, and what of its wishes does not hold and why.`,
		Args: cobra.ExactArgs(1),
	}
	q := addNodeQuestion(cmd.Flags())
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		node, err := q.snapshot(cmd.Context())
		if err != nil {
			return err
		}
		return showPods(cmd.OutOrStdout(), node, args[0], *output)
	}
	return cmd
}
