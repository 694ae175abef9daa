package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/agent/apilb"
	"github.com/kedge-io/kedge/agent/bandwidth"
	"github.com/kedge-io/kedge/agent/dns"
	"github.com/kedge-io/kedge/agent/firewall"
	"github.com/kedge-io/kedge/agent/kube"
	"github.com/kedge-io/kedge/agent/network"
	"github.com/kedge-io/kedge/agent/network/tun"
	"github.com/kedge-io/kedge/agent/runtime"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore"
)

func newResetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Remove everything that kedge made on this host",
		Long: `Remove everything that kedge made on this host: pods, containers, mounts, links,
routes, firewall rules, cgroups and the data directory with the cluster in it.
Nothing that others made is touched; while another kedge runs here with a data
directory of its own, links, routes and firewall rules stay, too. A daemon that
still runs is stopped, but one that systemd keeps must be stopped there first. May
be repeated.`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	dataDir := addDataDir(fs)
	cgroupRoot := fs.String("cgroup-root", "/", "cgroup below which pods of this node live, besides those that the data directory knows of")
	kubeconfig := fs.String("write-kubeconfig", paths.DefaultKubeconfig, "where the administrator's kubeconfig was written, besides the places that the data directory knows of")
	yes := fs.Bool("yes", false, "confirm that all pods are to end and, without --keep-data, that all data of this node is to be lost")
	keep := fs.Bool("keep-data", false, "leave the data directory and kubeconfigs: what remains is as after a boot without kedge")
	config.MarkCommandLineOnly(fs, "yes", "keep-data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := loadOptions(cmd); err != nil {
			return err
		}
		if os.Geteuid() != 0 {
			return errors.New("kedge reset must run as root: use sudo")
		}
		layout := paths.New(*dataDir)
		if !*yes {
			return usageError(fmt.Errorf("reset removes %s and everything that runs from it: confirm with --yes", layout.DataDir))
		}
		others, err := reset(cmd.Context(), layout, resetOptions{cgroupRoot: *cgroupRoot, kubeconfig: *kubeconfig, keepData: *keep})
		if len(others) > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "another kedge runs on this host (%s): links, routes and firewall rules stay as they are until it is reset, too\n", strings.Join(others, ", "))
		}
		if err != nil {
			return err
		}
		if *keep {
			fmt.Fprintf(cmd.OutOrStdout(), "kedge was stopped with all pods; its data stays in %s\n", layout.DataDir)
			return nil
		}
		fmt.Fprintf(cmd.OutOrStdout(), "kedge was removed from this host (data directory %s)\n", layout.DataDir)
		return nil
	}
	return cmd
}

// resetOptions say what to reset besides what the data directory knows of.
type resetOptions struct {
	cgroupRoot, kubeconfig string
	// keepData leaves what a boot would leave.
	keepData bool
}

// reset returns the other kedges for whose sake the host's network was left alone.
func reset(ctx context.Context, layout paths.Layout, o resetOptions) (others []string, err error) {
	if err := checkResettable(layout); err != nil {
		return nil, err
	}
	lock, err := lockForReset(ctx, layout)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()

	var errs []error
	outside, err := readFootprint(layout)
	errs = append(errs, err)
	outside.add(o.cgroupRoot, o.kubeconfig)
	admin := adminKubeconfigsOf(layout, outside.Kubeconfigs)
	for _, root := range outside.CgroupRoots {
		for _, left := range runtime.Reset(ctx, runtime.ResetConfig{Config: runtime.Config{Layout: layout}, CgroupRoot: root, KeepData: o.keepData}) {
			errs = append(errs, left)
		}
	}
	errs = append(errs, bandwidth.RemoveFolders(ctx, layout, outside.CgroupRoots...), kube.RemoveAll())
	others, err = removeUnlessShared(ctx, layout, removeNetwork)
	errs = append(errs, err)
	if v := datastore.VolatileDir(layout.RunDir); v != "" {
		errs = append(errs, os.RemoveAll(v))
		_ = os.Remove(filepath.Dir(v)) // only when nothing else is in it
	}
	errs = append(errs, runtime.RemoveTree(layout.RunDir))
	if !o.keepData {
		for _, file := range admin {
			errs = append(errs, os.Remove(file))
		}
		errs = append(errs, removeDataDir(layout.DataDir))
	}
	if err := errors.Join(errs...); err != nil {
		return others, fmt.Errorf("some things could not be removed, run it again when they are free: %w", err)
	}
	return others, nil
}

// removeNetwork takes away what has the same name for every kedge of this network
// namespace.
func removeNetwork(ctx context.Context) error {
	return errors.Join(bandwidth.RemoveAll(ctx), firewall.RemoveAll(ctx),
		network.RemoveAll(ctx), tun.Remove(network.RelayName), dns.RemoveAll(ctx), apilb.RemoveAll(ctx))
}

// removeDataDir removes dir. Where a disk of its own is mounted there, only
// what is in it can go.
func removeDataDir(dir string) error {
	err := runtime.RemoveTree(dir)
	if !errors.Is(err, syscall.EBUSY) {
		return err
	}
	if entries, readErr := os.ReadDir(dir); readErr != nil || len(entries) > 0 {
		return err
	}
	return nil
}

// checkResettable keeps a mistyped --data-dir from emptying a folder that was
// never kedge's.
func checkResettable(layout paths.Layout) error {
	entries, err := os.ReadDir(layout.DataDir)
	if errors.Is(err, os.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "lock", "data", "server", "agent":
			return nil
		}
	}
	return fmt.Errorf("%s is not a data directory of kedge: name the right one with --data-dir", layout.DataDir)
}

// adminKubeconfigsOf returns those administrator's kubeconfigs that this data
// directory's server wrote: another server on the host may have written others.
func adminKubeconfigsOf(layout paths.Layout, kubeconfigs []string) []string {
	own, err := os.ReadFile(filepath.Join(layout.ServerCred(), "admin.kubeconfig"))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(kubeconfigs), func(file string) bool {
		written, err := os.ReadFile(file)
		return err != nil || !bytes.Equal(own, written)
	})
}
