package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/support"
)

// partTimeout bounds what one part of a bundle may take.
const partTimeout = 10 * time.Second

// bundleOptions are those of kedge support-bundle.
type bundleOptions struct {
	checkOptions
	output string
	logs   []string
}

func newSupportBundleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "support-bundle [-- FLAGS...]",
		Short: "Collect what is known of this node in one file, without secrets",
		Long: `Collect in one gzipped tar what somebody needs who is to help: the findings of kedge
doctor, versions, the configuration with its origins, the daemon's state, links,
bandwidth and firewall, ends of logs, links, routes, rules, queues and sets of the
kernel, and the objects of the API that matter. contents.json in it lists the parts
and those that could not be had.

Secrets are not collected, and what looks like one, or is the value of one on this
host, is masked wherever it appears. Secrets and ConfigMaps of the cluster, variables,
commands and arguments of pods, keys and kubeconfigs are never read for it. Names of
nodes, pods and services, addresses and paths are in it. The file has 64 MB at most
before compression.`,
		Example: `  kedge support-bundle
  kedge support-bundle -o - | ssh desk 'cat > edge-7.tar.gz'`,
		Args: onlyFlagsOfDaemon,
	}
	o := &bundleOptions{}
	fs := cmd.Flags()
	fs.StringVar(&o.role, "role", "", "server or agent (default: that of the service, or agent where a server to join is configured, else server)")
	fs.StringVarP(&o.output, "output", "o", "", "file to write, - for standard output (default: kedge-NODE-TIME.tar.gz in this folder)")
	fs.StringArrayVar(&o.logs, "log", nil, "further log file to take the end of; may be given several times")
	config.MarkCommandLineOnly(fs, "role", "output", "log")
	cmd.RunE = func(cmd *cobra.Command, flags []string) error {
		s, err := o.subject(cmd.Context(), flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), s, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func (o *bundleOptions) run(ctx context.Context, s *subject, out, say io.Writer) error {
	now := time.Now().UTC()
	root := "kedge-" + s.config.NodeName + "-" + now.Format("20060102T150405Z")
	if o.output == "-" {
		return o.collect(ctx, s, out, root, now)
	}
	path := o.output
	if path == "" {
		path = root + ".tar.gz"
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the bundle (name another file with -o, or - for standard output): %w", err)
	}
	err = o.collect(ctx, s, file, root, now)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("%w: nothing is left of it; with -o - it can go to another machine", err), os.Remove(path))
	}
	abs, _ := filepath.Abs(path) // it exists
	_, err = fmt.Fprintln(say, "written: "+abs)
	return err
}

// collect writes all parts.
func (o *bundleOptions) collect(ctx context.Context, s *subject, w io.Writer, root string, now time.Time) error {
	a := support.NewArchive(w, root, now, s.redactor())
	for _, p := range s.parts(o.logs) {
		limited, cancel := context.WithTimeout(ctx, partTimeout)
		text, err := p.read(limited)
		cancel()
		if err := a.Add(p.name, text, err); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return a.Close()
}
