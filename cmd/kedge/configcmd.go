package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/spf13/cobra"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration of this host"}
	cmd.AddCommand(newConfigShowCommand())
	return cmd
}

func newConfigShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [server|agent] [-- FLAGS...]",
		Short: "Print every option with its value and where that came from",
		Long: `Print every option of a daemon with its value and where that came from: a flag,
an environment variable, a file and line, or the default. Secrets are masked.

Without a role, flags and KEDGE_ variables the service counts that the install script
made (/etc/kedge/kedge.env); where there is none, agent is taken when a server to
join is configured, else server. Flags after -- count as if they were given to the
daemon. The YAML form can be used as a configuration file.`,
		Example: `  kedge config show server
  kedge config show agent -o yaml
  kedge config show server -- --data-dir /srv/kedge`,
	}
	output := addOutput(cmd.Flags(), "table", "output format: "+strings.Join(config.Formats, ", "))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(config.Formats, *output) {
			return usageError(fmt.Errorf("output format %q: expected one of %s", *output, strings.Join(config.Formats, ", ")))
		}
		daemon, err := roleCommand(cmd, args)
		if err != nil {
			return err
		}
		resolved, err := loadOptions(daemon)
		if err != nil {
			return err
		}
		for _, w := range resolved.Warnings {
			fmt.Fprintf(cmd.ErrOrStderr(), "kedge: warning: %s\n", w)
		}
		return resolved.Write(cmd.OutOrStdout(), *output)
	}
	return cmd
}

// roleCommand returns the daemon's command that args name, with the flags
// after the dash parsed.
func roleCommand(cmd *cobra.Command, args []string) (*cobra.Command, error) {
	var flags []string
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		args, flags = args[:dash], args[dash:]
	}
	role := ""
	switch len(args) {
	case 0:
	case 1:
		role = args[0]
	default:
		return nil, usageError(fmt.Errorf("one role at a time, got %q: flags of the daemon go after --", args))
	}
	role, flags, err := orService(serviceFile, role, flags, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	return daemonOfRole(role, flags)
}

// daemonOfRole returns the command of the daemon of a role, with its flags parsed.
// Without a role it is agent where a server to join is configured, else server.
func daemonOfRole(role string, flags []string) (*cobra.Command, error) {
	if role == "" {
		role = "server"
		if peek("server") != "" {
			role = "agent"
		}
	}
	for _, daemon := range daemonCommands() {
		if daemon.Name() != role {
			continue
		}
		// The path of the command is part of messages about its options.
		root := &cobra.Command{Use: "kedge"}
		root.AddCommand(daemon)
		if err := daemon.ParseFlags(flags); err != nil {
			return nil, usageError(explainFlag(daemon, err))
		}
		return daemon, nil
	}
	return nil, usageError(fmt.Errorf("role %q: expected server or agent", role))
}
