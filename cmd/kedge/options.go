package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envAliases are further names of variables: those that the install script
// takes and those that people's fingers know.
var envAliases = map[string]string{
	"KEDGE_URL":               "server",
	"KEDGE_CONFIG_FILE":       config.FileFlag,
	"KEDGE_KUBECONFIG_OUTPUT": "write-kubeconfig",
	"KEDGE_KUBECONFIG_MODE":   "write-kubeconfig-mode",
}

// daemonCommands makes the commands whose options the configuration files hold.
func daemonCommands() []*cobra.Command {
	return []*cobra.Command{newServerCommand(), newAgentCommand()}
}

// loadOptions sets the flags of cmd from environment and files. The daemons
// are strict; every other command takes what it shares with them, such as
// data-dir. Errors end the process with exitUsage.
func loadOptions(cmd *cobra.Command) (*config.Resolved, error) {
	o := config.Options{Aliases: envAliases, Others: map[string]*pflag.FlagSet{}, Partial: true}
	for _, daemon := range daemonCommands() {
		if daemon.Name() == cmd.Name() {
			o.Partial = false
			continue
		}
		o.Others["kedge "+daemon.Name()] = daemon.Flags()
	}
	r, err := config.Load(cmd, o)
	if err != nil {
		return nil, usageError(err)
	}
	return r, refuseSecretArguments(r)
}

// peek returns what environment and files say about one option of a daemon,
// for embedded programs, which have no flags of ours.
func peek(key string) string { return config.Peek(key, config.Options{Aliases: envAliases}) }

// localLayout is the layout of the daemon that environment and files describe.
func localLayout() paths.Layout { return paths.New(peek("data-dir")) }

// addDataDir adds the option that says which daemon of this host is meant.
func addDataDir(fs *pflag.FlagSet) *string {
	return fs.String("data-dir", paths.DefaultDataDir, "data directory of the daemon")
}

// addOutput adds -o for commands that print.
func addOutput(fs *pflag.FlagSet, value, usage string) *string {
	output := fs.StringP("output", "o", value, usage)
	config.MarkCommandLineOnly(fs, "output")
	return output
}

// checkOutput reports a format that is none.
func checkOutput(format string) error {
	if format != "table" && format != "json" {
		return usageError(fmt.Errorf("output format %q: expected table or json", format))
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
