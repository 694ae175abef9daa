package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands makes every command of kedge. Each has a file of its own.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newServerCommand(),
		newAgentCommand(),
		newTokenCommand(),
		newCertCommand(),
		newNodeCommand(),
		newStatusCommand(),
		newSnapshotCommand(),
		newDatastoreCommand(),
		newCheckCommand(),
		newDoctorCommand(),
		newSupportBundleCommand(),
		newLinkCommand(),
		newImageCommand(),
		newBandwidthCommand(),
		newFirewallCommand(),
		newConfigCommand(),
		newKubectlCommand(),
		newCrictlCommand(),
		newCtrCommand(),
		newResetCommand(),
		newUnitCommand(),
		newVersionCommand(),
		newContainerdCommand(),
		newReferenceCommand(),
		newManualCommand(),
	}
}

func newRootCommand() *cobra.Command {
	// Kubernetes registers a --version of its own in the process-wide set, which
	// cobra would take for a flag of every command.
	pflag.CommandLine = pflag.NewFlagSet("kedge", pflag.ContinueOnError)
	root := &cobra.Command{
		Use:           "kedge",
		Short:         "Kubernetes for edge clusters in one program",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(commands()...)
	root.InitDefaultCompletionCmd()
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(explainFlag(c, err))
	})
	refuseStrangers(root)
	return root
}

// refuseStrangers makes commands that only hold others print their help, and
// refuse a word that is none of them instead of passing it over.
func refuseStrangers(c *cobra.Command) {
	for _, child := range c.Commands() {
		refuseStrangers(child)
	}
	if !c.HasSubCommands() || c.Runnable() {
		return
	}
	c.DisableFlagsInUseLine = true
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		var names []string
		for _, child := range c.Commands() {
			if child.IsAvailableCommand() {
				names = append(names, child.Name())
			}
		}
		if near := config.Nearest(args[0], names); near != "" {
			return usageError(fmt.Errorf("unknown command %q for %q, did you mean %q?", args[0], c.CommandPath(), near))
		}
		return usageError(fmt.Errorf("unknown command %q for %q: see %q", args[0], c.CommandPath(), c.CommandPath()+" --help"))
	}
}

// explainFlag adds the nearest flag to cobra's error about an unknown one, and
// takes the value out of an error about a secret one.
func explainFlag(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && config.IsSecret(invalid.GetFlag()) {
		return fmt.Errorf("the value of --%s (not shown) is not usable: see %q", invalid.GetFlag().Name, c.CommandPath()+" --help")
	}
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return fmt.Errorf("%w: see %q", err, c.CommandPath()+" --help")
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(name, names); near != "" {
		return fmt.Errorf("unknown flag --%s for %q, did you mean --%s?", name, c.CommandPath(), near)
	}
	return fmt.Errorf("unknown flag --%s for %q: see %q", name, c.CommandPath(), c.CommandPath()+" --help")
}
