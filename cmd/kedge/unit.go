package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/scripts"
)

// unitKinds are the files that there are (scripts/service).
var unitKinds = []string{"systemd", "openrc", "supervisor", "killall", "uninstall"}

// serviceName is what a service may be called: it becomes part of file names.
var serviceName = regexp.MustCompile(`^kedge[a-z0-9-]*$`)

// unitOptions are what such a file says about this host.
type unitOptions struct {
	name, binDir, dataDir string
}

func newUnitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unit systemd|openrc|supervisor|killall|uninstall",
		Short: "Print a file that starts or removes kedge on this host",
		Long: `Print a file that starts or removes kedge on this host, as the install script puts
it in place: the service of systemd or OpenRC, a script that keeps kedge running
where there is neither, one that stops kedge with all pods, and one that takes it
off the host. They read the arguments of the daemon, KEDGE_INSTALL_EXEC, and its
KEDGE_ variables from /etc/kedge/NAME.env.`,
		Example:   `  kedge unit systemd > /etc/systemd/system/kedge.service`,
		ValidArgs: unitKinds,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	var o unitOptions
	fs.StringVar(&o.name, "name", "kedge", "name of the service: kedge, or kedge- and more")
	fs.StringVar(&o.binDir, "bin-dir", "", "folder of the program and of the scripts (default: that of this program)")
	config.MarkCommandLineOnly(fs, "name", "bin-dir")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		if !serviceName.MatchString(o.name) {
			return usageError(fmt.Errorf("--name %q: use kedge, or kedge- and a-z, 0-9 or dashes", o.name))
		}
		o.dataDir = paths.New(*dataDir).DataDir
		text, err := o.render(args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// render fills a file in.
func (o *unitOptions) render(kind string) (string, error) {
	text, err := scripts.Service.ReadFile("service/" + kind)
	if err != nil {
		return "", fmt.Errorf("read the file for %s: %w", kind, err)
	}
	if o.binDir == "" {
		self, err := installedProgram()
		if err != nil {
			return "", err
		}
		o.binDir = filepath.Dir(self)
	}
	for what, path := range map[string]string{"--bin-dir": o.binDir, "--data-dir": o.dataDir} {
		if strings.ContainsAny(path, "\"'\\$`%\n") || !filepath.IsAbs(path) {
			return "", usageError(fmt.Errorf("%s %q: an absolute path without quotes, $, %% and \\ is needed here", what, path))
		}
	}
	return strings.NewReplacer("@NAME@", o.name, "@BIN@", o.binDir, "@DATA@", o.dataDir).Replace(string(text)), nil
}
