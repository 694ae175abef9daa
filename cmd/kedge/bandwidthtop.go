package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/agent/bandwidth/view"
	"github.com/kedge-io/kedge/internal/config"
)

// minTopInterval is the shortest time over which rates mean something: a few
// packets of the slowest class.
const minTopInterval = 200 * time.Millisecond

// top is what kedge bandwidth top was asked for.
type top struct {
	*nodeQuestion
	watch    bool
	interval time.Duration
	sort     string
	output   string
}

func newBandwidthTopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show what pods and containers send and receive now",
		Long: `Show what the pods of a node and those of their containers that have limits send
and receive now, over one --interval, beside what they are guaranteed (MIN), what
they may have at most (MAX), how long packets wait and how many are dropped. A
guarantee with an exclamation mark does not hold; "kedge bandwidth show" says why.
The bars are parts of MAX or, without one, of the uplink. The lines (control) and
(host) are what is reserved for the node itself and its processes. What stays on
the node is not in it.`,
		Example: `  kedge bandwidth top --watch
  kedge bandwidth top --node edge-1 --sort drops
  kedge bandwidth top -o json`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	t := &top{nodeQuestion: addNodeQuestion(fs)}
	fs.BoolVarP(&t.watch, "watch", "w", false, "show it again and again until interrupted")
	fs.DurationVar(&t.interval, "interval", time.Second, "time over which rates are taken")
	fs.StringVar(&t.sort, "sort", view.DefaultSort, "order of pods: rate, egress, ingress, wait, drops, min, max or name")
	fs.StringVarP(&t.output, "output", "o", "table", "output format: table or json")
	config.MarkCommandLineOnly(fs, "watch", "interval", "sort", "output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := t.check(); err != nil {
			return err
		}
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		return t.run(cmd.Context(), cmd.OutOrStdout())
	}
	return cmd
}

func (t *top) check() error {
	if err := checkOutput(t.output); err != nil {
		return err
	}
	if t.interval < minTopInterval {
		return usageError(fmt.Errorf("--interval %s: expected at least %s", t.interval, minTopInterval))
	}
	if err := view.CheckSort(t.sort); err != nil {
		return usageError(fmt.Errorf("--sort: %w", err))
	}
	return nil
}

// run prints once, or until ctx ends.
func (t *top) run(ctx context.Context, w io.Writer) error {
	before, err := t.snapshot(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if t.watch {
				return nil // somebody has seen enough
			}
			return ctx.Err()
		case <-ticker.C:
		}
		after, err := t.snapshot(ctx)
		if err != nil {
			if t.watch && errors.Is(ctx.Err(), context.Canceled) {
				return nil
			}
			return err
		}
		if err := t.print(w, view.NewTop(before, after, t.sort)); err != nil {
			return fmt.Errorf("print bandwidth: %w", err)
		}
		if !t.watch {
			return nil
		}
		before = after
	}
}

// clearScreen moves to the upper left and clears what is below.
const clearScreen = "\x1b[H\x1b[2J"

func (t *top) print(w io.Writer, now view.Top) error {
	if t.output == "json" {
		return writeJSON(w, now)
	}
	if t.watch {
		if isTerminal(w) {
			fmt.Fprint(w, clearScreen)
		}
		fmt.Fprintf(w, "%s\n\n", now.Time.Local().Format(time.TimeOnly))
	}
	return view.WriteTop(w, now)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// showPods prints the pods of a name.
func showPods(w io.Writer, node snapshot.Node, name, format string) error {
	pods, err := view.Find(node, name)
	if err != nil {
		return err
	}
	if format == "json" {
		return writeJSON(w, pods)
	}
	for _, p := range pods {
		if err := view.WritePod(w, node, p); err != nil {
			return fmt.Errorf("print pod: %w", err)
		}
	}
	return nil
}
