package main

import (
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/agent/runtime"
	"github.com/spf13/cobra"
)

// tool is a program inside the program. It parses its own arguments and is run
// before kedge's command tree is even made, so that nothing changes its flags.
type tool struct {
	name    string
	short   string
	symlink bool // also run when kedge is called by this name
	main    func(args []string) int
}

// tools returns every embedded program.
func tools() []*tool {
	return []*tool{
		{name: "kubectl", short: "Run kubectl on the local cluster", symlink: true, main: kubectlMain},
		{name: "crictl", short: "Run crictl on the local container runtime", symlink: true, main: crictlMain},
		{name: "ctr", short: "Run ctr, containerd's own client, in the namespace of Kubernetes", symlink: true, main: ctrMain},
		{name: "containerd", short: "Run the container runtime (started by the agent)", main: containerdMain},
	}
}

// findTool returns the tool that argv calls, by the name of the link or as the
// first argument, with its own arguments; nil for kedge's own commands.
func findTool(argv []string) (*tool, []string) {
	if len(argv) == 0 {
		return nil, nil
	}
	for _, t := range tools() {
		if t.symlink && filepath.Base(argv[0]) == t.name {
			return t, argv[1:]
		}
		if len(argv) > 1 && argv[1] == t.name {
			return t, argv[2:]
		}
	}
	return nil, nil
}

// toolCommand lists the tool called name in kedge's help.
func toolCommand(name string) *cobra.Command {
	for _, t := range tools() {
		if t.name != name {
			continue
		}
		return &cobra.Command{
			Use:                t.name + " [ARGUMENTS...]",
			Short:              t.short,
			Hidden:             !t.symlink,
			DisableFlagParsing: true,
			RunE: func(_ *cobra.Command, args []string) error {
				if code := t.main(args); code != exitOK {
					return exitWith(code, nil)
				}
				return nil
			},
		}
	}
	panic("no tool " + name)
}

func newKubectlCommand() *cobra.Command    { return toolCommand("kubectl") }
func newCrictlCommand() *cobra.Command     { return toolCommand("crictl") }
func newCtrCommand() *cobra.Command        { return toolCommand("ctr") }
func newContainerdCommand() *cobra.Command { return toolCommand("containerd") }

// containerdMain is what the agent re-executes this program for.
func containerdMain(args []string) int { return report(os.Stderr, runtime.Main(args)) }

// setDefaultEnv sets variables that the environment does not have, which is
// how the embedded programs take defaults without a change of their flags.
func setDefaultEnv(pairs map[string]string) error {
	for name, value := range pairs {
		if os.Getenv(name) != "" {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}
