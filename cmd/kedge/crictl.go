package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kedge-io/kedge/internal/crictl"
	"github.com/urfave/cli/v2"
)

// crictlConfig is crictl's own configuration file.
const crictlConfig = "/etc/crictl.yaml"

// crictlMain is crictl, pointed at kedge's container runtime.
func crictlMain(args []string) int {
	socket := "unix://" + localLayout().ContainerdSocket()
	env := map[string]string{
		"CONTAINER_RUNTIME_ENDPOINT": socket,
		"IMAGE_SERVICE_ENDPOINT":     socket,
	}
	if _, err := os.Stat(crictlConfig); errors.Is(err, fs.ErrNotExist) {
		env["CRI_CONFIG_FILE"] = os.DevNull // spares a warning about the missing file at every call
	}
	if err := setDefaultEnv(env); err != nil {
		fmt.Fprintf(os.Stderr, "crictl: %v\n", err)
		return exitFailure
	}
	// ctr, in the same process, sets a printer of its own for everybody.
	cli.VersionPrinter = func(c *cli.Context) { fmt.Fprintf(c.App.Writer, "%s version %s\n", c.App.Name, c.App.Version) }
	return crictl.Main(args)
}
