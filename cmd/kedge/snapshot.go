package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

func newSnapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save the cluster into files, and manage these",
		Long: `Save the cluster into files, and manage these.

A snapshot is one file with the datastore and, sealed with the recovery token, the
keys of the cluster. A server makes them by itself, every 6 hours unless told
otherwise. The commands work on a server, whether kedge runs there or not; if it
runs, its own options say where snapshots are, else those that are given here, in
the environment or in the configuration file.`,
	}
	o := &snapshotCommand{}
	fs := cmd.PersistentFlags()
	fs.StringVar(&o.dataDir, "data-dir", paths.DefaultDataDir, "data directory of the server")
	fs.StringVar(&o.node, "node-name", "", "name of this server (default: the host name)")
	o.options.bind(fs)
	cmd.AddCommand(newSnapshotSaveCommand(o), newSnapshotListCommand(o), newSnapshotDeleteCommand(o), newSnapshotPruneCommand(o), newSnapshotRestoreCommand(o), newSnapshotTokenCommand(o))
	return cmd
}

func newSnapshotSaveCommand(o *snapshotCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "save",
		Short: "Save the cluster now",
		Long: `Save the cluster now. The file is verified before it counts. The retention of
scheduled snapshots does not delete it; kedge snapshot prune and delete do.`,
		Example: `  kedge snapshot save
  kedge snapshot save --name before-upgrade`,
		Args: cobra.NoArgs,
	}
	name := cmd.Flags().String("name", snapshot.OnDemand, "first part of the file's name")
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	config.MarkCommandLineOnly(cmd.Flags(), "name")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(checkOutput(*output), snapshot.CheckName(*name)); err != nil {
			return usageError(err)
		}
		k, release, err := o.keeper(cmd, true)
		if err != nil {
			return err
		}
		defer release()
		saved, err := k.Save(cmd.Context(), *name)
		if err != nil {
			return err
		}
		if err := writeSaved(cmd.OutOrStdout(), saved, *output); err != nil {
			return err
		}
		if saved.RemoteError != "" {
			return fmt.Errorf("the snapshot is in %s, but there is no copy elsewhere: %s", saved.Entry.Location, saved.RemoteError)
		}
		return nil
	}
	return cmd
}

func writeSaved(w io.Writer, s snapshot.Saved, format string) error {
	if format == "json" {
		return writeJSON(w, s)
	}
	_, err := fmt.Fprintf(w, "%s saved: %s, %d objects, revision %d, in %s\n", s.Entry.Location, units.HumanSize(float64(s.Entry.Bytes)),
		s.Entry.Manifest.ObjectCount(), s.Entry.Manifest.Revision, s.Took.Round(time.Millisecond))
	return err
}

func newSnapshotListCommand(o *snapshotCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List snapshots, the latest state first",
		Args:    cobra.NoArgs,
	}
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(*output); err != nil {
			return err
		}
		k, release, err := o.keeper(cmd, false)
		if err != nil {
			return err
		}
		defer release()
		l, err := k.List(cmd.Context())
		if err != nil {
			return err
		}
		if err := writeSnapshots(cmd.OutOrStdout(), l, *output); err != nil {
			return err
		}
		if l.RemoteError != "" {
			return fmt.Errorf("copies elsewhere are not listed: %s", l.RemoteError)
		}
		return nil
	}
	return cmd
}

func writeSnapshots(w io.Writer, l snapshot.Listing, format string) error {
	if format == "json" {
		return writeJSON(w, l)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tCREATED\tSIZE\tREVISION\tOBJECTS\tLOCATION")
	for _, e := range l.Entries {
		size := units.HumanSize(float64(e.Bytes))
		if !e.Good() {
			_, _ = fmt.Fprintf(t, "%s\t-\t%s\t-\t-\t%s: %s\n", e.File, size, e.Location, e.Problem)
			continue
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\n", e.File, snapshotTime(e.Manifest.Time), size, e.Manifest.Revision, e.Manifest.ObjectCount(), e.Location)
	}
	return t.Flush()
}

func newSnapshotDeleteCommand(o *snapshotCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME...",
		Aliases: []string{"rm"},
		Short:   "Delete snapshots, here and in the bucket",
		Args:    cobra.MinimumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, release, err := o.keeper(cmd, true)
		if err != nil {
			return err
		}
		defer release()
		for _, name := range args {
			deleted, err := k.Delete(cmd.Context(), name)
			if err := errors.Join(writeDeleted(cmd.OutOrStdout(), deleted), err); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func newSnapshotPruneCommand(o *snapshotCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete the oldest snapshots of one name, here and in the bucket",
		Long: `Delete the snapshots of this cluster and server whose names begin with --name,
except the latest --keep. What is no whole snapshot does not count and stays.`,
		Example: `  kedge snapshot prune --name on-demand --keep 3`,
		Args:    cobra.NoArgs,
	}
	name := cmd.Flags().String("name", "", "first part of the names (default: --snapshot-name)")
	keep := cmd.Flags().Int("keep", 0, "how many to keep (default: --snapshot-retention)")
	config.MarkCommandLineOnly(cmd.Flags(), "name", "keep")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, release, err := o.keeper(cmd, true)
		if err != nil {
			return err
		}
		defer release()
		deleted, err := k.Prune(cmd.Context(), *name, *keep)
		return errors.Join(writeDeleted(cmd.OutOrStdout(), deleted), err)
	}
	return cmd
}

func writeDeleted(w io.Writer, deleted []string) error {
	for _, location := range deleted {
		if _, err := fmt.Fprintf(w, "%s deleted\n", location); err != nil {
			return err
		}
	}
	return nil
}

func newSnapshotTokenCommand(o *snapshotCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the recovery token, which restoring a snapshot elsewhere needs",
		Long: `Print the recovery token, which restoring a snapshot on another host needs. It
opens the keys of the cluster in every snapshot: keep it away from this host and
away from the snapshots.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		token, err := snapshot.ReadToken(paths.New(o.dataDir).RecoveryToken())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: the first start of a server makes it; run this on a server, or name its --data-dir", err)
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("%w: run it as root", err)
		case err != nil:
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Encode())
		return err
	}
	return cmd
}
