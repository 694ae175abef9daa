package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/restore"
)

// datastoreCommand holds the options of all commands of kedge datastore.
type datastoreCommand struct {
	dataDir, snapshots string
}

func newDatastoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "datastore",
		Short: "Look at the cluster's database, check it and make it smaller",
		Long: `Look at the cluster's database, check it and make it smaller. The commands work on
a server, whether kedge runs there or not.`,
	}
	o := &datastoreCommand{}
	cmd.PersistentFlags().StringVar(&o.dataDir, "data-dir", paths.DefaultDataDir, "data directory of the server")
	cmd.PersistentFlags().StringVar(&o.snapshots, "snapshot-dir", "", "folder of snapshots (default: server/snapshots in the data directory)")
	cmd.AddCommand(newDatastoreStatCommand(o), newDatastoreCheckCommand(o), newDatastoreCompactCommand(o), newDatastoreAcceptCommand(o))
	return cmd
}

func (o *datastoreCommand) layout() paths.Layout { return paths.New(o.dataDir) }

func (o *datastoreCommand) config() datastore.Config {
	dir := o.snapshots
	if dir == "" {
		dir = o.layout().Snapshots()
	}
	cfg := server.DatastoreFiles(o.layout(), dir)
	cfg.Log = slog.New(slog.DiscardHandler)
	return cfg
}

// ask has the running server answer into result; false if none runs.
func (o *datastoreCommand) ask(ctx context.Context, method, path string, result any) (bool, error) {
	err := health.Ask(ctx, o.layout().StatusSocket(), method, path, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(result)
	})
	if errors.Is(err, health.ErrNotRunning) {
		return false, nil
	}
	return true, err
}

func newDatastoreStatCommand(o *datastoreCommand) *cobra.Command {
	cmd := &cobra.Command{Use: "stat", Short: "Print sizes and revisions of the database", Args: cobra.NoArgs}
	output := addOutput(cmd.Flags(), "table", "output format: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		if err := checkOutput(*output); err != nil {
			return err
		}
		var stats []datastore.DatabaseStat
		runs, err := o.ask(cmd.Context(), http.MethodGet, datastore.PathStat, &stats)
		if err == nil && !runs {
			stats = make([]datastore.DatabaseStat, 1)
			stats[0], err = datastore.StatFile(cmd.Context(), o.layout().Database())
		}
		if err != nil {
			return err
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), stats)
		}
		return writeStats(cmd.OutOrStdout(), stats)
	}
	return cmd
}

func bytesOf(n int64) string { return units.HumanSize(float64(n)) }

func writeStats(w io.Writer, stats []datastore.DatabaseStat) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tSIZE\tFREE INSIDE\tLOG\tREVISION\tCOMPACTED TO\tDISK FREE\tPATH")
	for _, s := range stats {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", s.Name, bytesOf(s.Bytes), bytesOf(s.FreeBytes), bytesOf(s.LogBytes),
			s.Revision, s.CompactRevision, bytesOf(s.DiskFree), s.Path)
	}
	return t.Flush()
}

func newDatastoreCheckCommand(o *datastoreCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the database, and say what helps if it is damaged",
		Long: `Check the database, and say what helps if it is damaged. Nothing is changed. On a
stopped server also what SQLite itself cannot see is checked: a log that is gone,
cut or of another database, an older copy, bytes that changed since the last stop.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		var found datastore.Finding
		runs, err := o.ask(cmd.Context(), http.MethodGet, datastore.PathCheck, &found)
		if err == nil && !runs {
			lock, lerr := lockStopped(o.layout(), "check the database")
			if lerr != nil {
				return lerr
			}
			defer func() { _ = lock.Close() }()
			if _, err := restore.Finish(o.layout()); err != nil {
				return err
			}
			found, err = datastore.Examine(cmd.Context(), o.config(), true)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "no damage found: %s, revision %d, checked in %s\n", bytesOf(found.Bytes), found.Revision, found.Took.Round(time.Millisecond))
		for _, note := range found.Notes {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), "note: "+note)
		}
		return err
	}
	return cmd
}

func newDatastoreCompactCommand(o *datastoreCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Remove history from the database and give free space back",
		Long: `Remove all history but the last 1,000 revisions from the database and give free
space back. On a running server it goes in small steps between which the API
works on; on a stopped one the file is also written anew, for which twice its
size must be free.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		var done []datastore.Compaction
		runs, err := o.ask(cmd.Context(), http.MethodPost, datastore.PathCompact, &done)
		if err == nil && !runs {
			done, err = o.compactStopped(cmd.Context())
		}
		if err != nil {
			return err
		}
		return writeCompactions(cmd.OutOrStdout(), done)
	}
	return cmd
}

func (o *datastoreCommand) compactStopped(ctx context.Context) (done []datastore.Compaction, err error) {
	lock, err := lockStopped(o.layout(), "compact the database")
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	if _, err := restore.Finish(o.layout()); err != nil {
		return nil, err
	}
	cfg := o.config()
	if _, err := datastore.Examine(ctx, cfg, false); err != nil {
		return nil, err
	}
	err = datastore.Offline(ctx, cfg, func(ctx context.Context, s *datastore.Store) (err error) {
		done, err = s.Compact(ctx, true)
		return err
	})
	return done, err
}

func writeCompactions(w io.Writer, done []datastore.Compaction) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tSIZE\tLOG\tCOMPACTED TO\tTOOK")
	for _, c := range done {
		_, _ = fmt.Fprintf(t, "%s\t%s -> %s\t%s -> %s\t%d -> %d\t%s\n", c.Before.Name, bytesOf(c.Before.Bytes), bytesOf(c.After.Bytes),
			bytesOf(c.Before.LogBytes), bytesOf(c.After.LogBytes), c.Before.CompactRevision, c.After.CompactRevision, c.Took.Round(time.Millisecond))
	}
	return t.Flush()
}

func newDatastoreAcceptCommand(o *datastoreCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "Go on with a database that has lost changes",
		Long: `Go on with a database of which kedge has found that acknowledged changes are
missing, or that somebody else has changed it, although it is sound in itself. It
is newer than any snapshot, but the missing changes are lost. Whatever watches the
API is told to list again, as after a restore. The former files are kept aside.`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		lock, err := lockStopped(o.layout(), "accept the database")
		if err != nil {
			return err
		}
		defer func() { _ = lock.Close() }()
		done, err := restore.Accept(cmd.Context(), o.layout(), notBehind(o.layout()))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "the database is accepted as it is, with what is wrong with it (%s)\nit ends at revision %d and goes on at %d; the former files are in %s: start the server\n",
			done.Wrong, done.Revision, done.Base, done.Aside)
		return err
	}
	return cmd
}
