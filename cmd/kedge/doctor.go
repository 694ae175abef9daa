package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent/preflight"
	"github.com/kedge-io/kedge/internal/diagnosis"
	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/version"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
	"github.com/kedge-io/kedge/tunnel/view"
)

// doctorTimeout bounds each question to the daemon.
const doctorTimeout = 5 * time.Second

func newDoctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [-- FLAGS...]",
		Short: "Find out what is wrong with the daemon on this host",
		Long: `Look at a running node: all that kedge check looks at, and the daemon's components
and conditions, its links, the size and compaction of the database, certificates,
and the age of the last good snapshot. Each finding says why it matters, what kedge
does without it, and what helps; docs/operations/troubleshooting.md lists all of them
by their ids. Options are those of the daemon, as for kedge check.

The exit code is 0 when there is no error, with warnings perhaps, 1 when there is
one, as when no daemon runs, 2 when an option is wrong.`,
		Example: `  kedge doctor
  kedge doctor --json | jq '.findings[] | select(.severity == "error")'`,
		Args: onlyFlagsOfDaemon,
	}
	var o checkOptions
	o.bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, flags []string) error {
		s, err := o.subject(cmd.Context(), flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return o.print(cmd.OutOrStdout(), s.diagnose(cmd.Context()))
	}
	return cmd
}

// diagnose is what check finds, and what is found of the running node.
func (s *subject) diagnose(ctx context.Context) []finding.Finding {
	return append(preflight.Check(ctx, s.config), s.examine(ctx).Findings()...)
}

// examine gathers the figures of the node.
func (s *subject) examine(ctx context.Context) diagnosis.Node {
	n := diagnosis.Node{Now: time.Now(), Report: s.report, Version: version.Kedge}
	n.Down = explainStatus(s.down, s.layout.DataDir)
	if s.down == nil {
		var links view.Report
		n.LinksError = s.ask(ctx, view.PathStatus, &links)
		for _, l := range links.Links {
			n.Links = append(n.Links, diagnosis.Link{
				Peer: l.Peer, Up: l.Up, Since: l.Since, LastError: l.LastError, RTT: l.RTT, Reconnects: l.Reconnects, Lanes: len(l.Lanes),
			})
		}
	}
	n.Certificates = append(leaves(s.layout.ServerTLS()), leaves(s.layout.AgentTLS())...)
	if !s.config.Server {
		return n
	}
	if s.text("datastore-endpoint") == "" {
		n.Databases, n.DatabasesError = s.databases(ctx)
		n.Snapshots = s.snapshots()
	}
	return n
}

// ask has the daemon answer into result.
func (s *subject) ask(ctx context.Context, path string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	err := health.Ask(ctx, s.layout.StatusSocket(), http.MethodGet, path, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(result)
	})
	if err != nil {
		return fmt.Errorf("ask the daemon for %s: %w", path, err)
	}
	return nil
}

// leaves are the certificates below dir that are no authorities.
func leaves(dir string) []diagnosis.Certificate {
	found, _ := filepath.Glob(filepath.Join(dir, "*.crt")) // the pattern is ours
	var out []diagnosis.Certificate
	for _, path := range found {
		chain, err := pki.ReadCerts(path)
		switch {
		case err != nil:
			out = append(out, diagnosis.Certificate{Path: path, Err: err})
		case !chain[0].IsCA:
			out = append(out, diagnosis.Certificate{Path: path, Cert: chain[0]})
		}
	}
	return out
}

// databases asks the server, or where none runs the file.
func (s *subject) databases(ctx context.Context) ([]diagnosis.Database, error) {
	var stats []datastore.DatabaseStat
	if s.down == nil {
		if err := s.ask(ctx, datastore.PathStat, &stats); err != nil {
			return nil, err
		}
	} else {
		stat, err := datastore.StatFile(ctx, s.layout.Database())
		if err != nil {
			return nil, err
		}
		stats = append(stats, stat)
	}
	var out []diagnosis.Database
	for _, d := range stats {
		out = append(out, diagnosis.Database{
			Path: d.Path, Bytes: d.Bytes, FreeBytes: d.FreeBytes, LogBytes: d.LogBytes, Revision: d.Revision, CompactRevision: d.CompactRevision,
		})
	}
	return out, nil
}

func (s *subject) snapshots() *diagnosis.Snapshots {
	dir := s.text("snapshot-dir")
	if dir == "" {
		dir = s.layout.Snapshots()
	}
	out := &diagnosis.Snapshots{}
	if schedule, err := snapshot.ParseSchedule(s.text("snapshot-schedule")); err == nil { // the daemon refuses a wrong one
		out.Off, out.Every = schedule.Off(), schedule.Every()
	}
	all, err := snapshot.List(dir)
	if err != nil {
		out.Err = err
		return out
	}
	for _, e := range all {
		if !e.Good() {
			out.Bad = append(out.Bad, e.File+because(e.Problem))
		}
	}
	if last, ok := snapshot.LastGood(all, ""); ok {
		out.Last, out.Name = last.Manifest.Time, last.File
	}
	return out
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return " (" + problem + ")"
}
