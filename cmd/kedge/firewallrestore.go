package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/agent/firewall"
	"github.com/kedge-io/kedge/agent/firewall/hostfacts"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/logx"
	"github.com/kedge-io/kedge/internal/paths"
)

// restoreUnit is a unit of systemd that has the last rules in force before there
// is a network (systemd.special(7), network-pre.target).
const restoreUnit = `[Unit]
Description=Last proven rules of kedge's firewall
DefaultDependencies=no
RequiresMountsFor=%[2]s
After=local-fs.target
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%[1]s firewall restore

[Install]
WantedBy=sysinit.target
`

func newFirewallRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Put the last proven rules in force, without a daemon",
		Long: `Put in force what this node enforced last and was proven not to cut it off, without
a daemon, a server or a network. The daemon does the same before anything else; this is
for an init system, to have the rules before the network: see --unit. Without rules on
disk nothing is changed; where the file is damaged, only what is implied may come in
until the daemon hears a server.`,
		Example: `  kedge firewall restore --unit > /etc/systemd/system/kedge-firewall.service
  systemctl enable kedge-firewall.service`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	var opts restoreOptions
	opts.bind(fs)
	unit := fs.Bool("unit", false, "print a unit of systemd that does this before the network, and do nothing")
	config.MarkCommandLineOnly(fs, "unit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		layout := paths.New(*dataDir)
		if *unit {
			return printUnit(cmd, layout)
		}
		if os.Geteuid() != 0 {
			return errors.New("kedge firewall restore must run as root: use sudo")
		}
		return opts.restore(cmd, layout)
	}
	return cmd
}

func printUnit(cmd *cobra.Command, layout paths.Layout) error {
	self, err := installedProgram()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), restoreUnit, self, layout.DataDir)
	return err
}

func (o *restoreOptions) restore(cmd *cobra.Command, layout paths.Layout) error {
	host, err := o.host(layout)
	if err != nil {
		return err
	}
	r, err := firewall.Restore(cmd.Context(), layout, host, logx.Setup(cmd.ErrOrStderr(), false))
	out := cmd.OutOrStdout()
	switch {
	case err != nil:
		return err
	case r.Damaged != nil:
		fmt.Fprintf(out, "only what is implied may come in, as the rules on disk cannot be believed: %v\n", r.Damaged)
	case r.Ruleset == nil:
		fmt.Fprintf(out, "there are no rules of a firewall in %s\n", layout.DataDir)
	default:
		fmt.Fprintf(out, "the rules of revision %d are in force\n", r.Revision)
	}
	return nil
}

// restoreOptions are those of the daemon that matter here; they come from its
// configuration.
type restoreOptions struct {
	failsafe   []string
	resolvConf string
	port       uint16
}

func (o *restoreOptions) bind(fs *pflag.FlagSet) {
	fs.StringSliceVar(&o.failsafe, "failsafe", nil, "CIDR[=PORT] that always reaches this node by TCP (default port: 22)")
	fs.StringVar(&o.resolvConf, "resolv-conf", "", "file with the host's name servers (default: /etc/resolv.conf)")
	fs.Uint16Var(&o.port, "https-listen-port", 6443, "TCP port of the server on this machine, if there is one")
}

// host is what is known of the host without a cluster.
func (o *restoreOptions) host(layout paths.Layout) (firewall.Host, error) {
	host := firewall.Host{ResolvConf: o.resolvConf}
	for _, entry := range o.failsafe {
		f, err := hostfacts.ParseFailsafe(entry)
		if err != nil {
			return host, usageError(err)
		}
		host.Failsafe = append(host.Failsafe, f)
	}
	if _, err := os.Stat(layout.Server()); err == nil {
		host.Door = o.port
	}
	return host, nil
}
