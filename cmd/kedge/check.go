package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/agent/preflight"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/finding"
)

// checkOptions are those of the commands that print findings.
type checkOptions struct {
	role      string
	json, all bool
}

func (o *checkOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.role, "role", "", "server or agent (default: that of the service, or agent where a server to join is configured, else server)")
	fs.BoolVar(&o.json, "json", false, "print all findings as JSON")
	fs.BoolVar(&o.all, "all", false, "print what is well, too")
	config.MarkCommandLineOnly(fs, "role", "json", "all")
}

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [-- FLAGS...]",
		Short: "Find out what would go wrong on this host, before kedge is started",
		Long: `Try on this host what kedge will do, and say what would go wrong: kernel, control
groups, programs, ports, clock, disk, memory, address ranges, other firewalls, DNS,
and the way to the server with its certificate. Each finding says why it matters,
what kedge does without it, and what helps; docs/operations/troubleshooting.md lists
all of them by their ids.

Options are those that the daemon would have, from environment and files, and flags
of it after --. Without a role, flags and KEDGE_ variables they are those of the
service that the install script made (/etc/kedge/kedge.env).

Things are tried in namespaces that go again; nothing of the host is changed, but
the kernel may load modules. Only root can try the kernel.

The exit code is 0 when the daemon may be started, with warnings perhaps, 1 when
there is an error, 2 when an option is wrong.`,
		Example: `  kedge check
  kedge check --role agent -- --server https://server:6443 --token-file /etc/kedge/token
  kedge check --role server --json`,
		Args: onlyFlagsOfDaemon,
	}
	var o checkOptions
	o.bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, flags []string) error {
		subject, err := o.subject(cmd.Context(), flags, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return o.print(cmd.OutOrStdout(), preflight.Check(cmd.Context(), subject.config))
	}
	return cmd
}

// onlyFlagsOfDaemon refuses words before the dash.
func onlyFlagsOfDaemon(cmd *cobra.Command, args []string) error {
	before := args
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		before = args[:dash]
	}
	if len(before) > 0 {
		return usageError(fmt.Errorf("unknown argument %q: flags of the daemon go after --, the role is given by --role", before[0]))
	}
	return nil
}

// subject is what would be started here, or what runs.
func (o *checkOptions) subject(ctx context.Context, flags []string, warn io.Writer) (*subject, error) {
	role, flags, err := orService(serviceFile, o.role, flags, warn)
	if err != nil {
		return nil, err
	}
	s, err := o.subjectOf(ctx, role, flags, warn)
	if err == nil && role == "" && s.down == nil && s.report.Role != s.role {
		// The configuration does not tell, the daemon does.
		return o.subjectOf(ctx, s.report.Role, flags, io.Discard)
	}
	return s, err
}

func (o *checkOptions) subjectOf(ctx context.Context, role string, flags []string, warn io.Writer) (*subject, error) {
	daemon, err := daemonOfRole(role, flags)
	if err != nil {
		return nil, err
	}
	resolved, err := loadOptions(daemon)
	if err != nil {
		return nil, err
	}
	for _, w := range resolved.Warnings {
		fmt.Fprintf(warn, "kedge: warning: %s\n", w)
	}
	if err := os.Setenv("PATH", completePath(os.Getenv("PATH"))); err != nil {
		return nil, fmt.Errorf("complete the search path: %w", err)
	}
	return newSubject(ctx, daemon, resolved)
}

// checked is the form for programs.
type checked struct {
	Severity finding.Severity  `json:"severity"`
	Findings []finding.Finding `json:"findings"`
}

// print writes findings and turns an error among them into the exit code.
func (o *checkOptions) print(w io.Writer, found []finding.Finding) error {
	finding.Sort(found)
	var err error
	if o.json {
		err = writeJSON(w, checked{finding.Worst(found), found})
	} else {
		err = finding.WriteTable(w, found, o.all)
	}
	if err == nil && finding.Worst(found) == finding.Error {
		return exitWith(exitFailure, nil)
	}
	return err
}
