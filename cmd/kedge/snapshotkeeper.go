package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server"
	"github.com/kedge-io/kedge/server/datastore/restore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// snapshotCommand holds the options of all commands of kedge snapshot.
type snapshotCommand struct {
	dataDir, node string
	options       snapshotOptions
}

// snapshotKeeper is a running server ([snapshot.Client]) or, where none runs, this
// process ([snapshot.Manager]).
type snapshotKeeper interface {
	Save(ctx context.Context, name string) (snapshot.Saved, error)
	List(ctx context.Context) (snapshot.Listing, error)
	Delete(ctx context.Context, file string) ([]string, error)
	Prune(ctx context.Context, name string, keep int) ([]string, error)
}

// keeper finds who is to do the work. Where no server runs and something is to be
// changed, the data directory is locked until release.
func (o *snapshotCommand) keeper(cmd *cobra.Command, change bool) (_ snapshotKeeper, release func(), err error) {
	release = func() {}
	resolved, err := loadOptions(cmd)
	if err != nil {
		return nil, release, err
	}
	layout := paths.New(o.dataDir)
	report, err := health.Fetch(cmd.Context(), layout.StatusSocket())
	switch {
	case err == nil && report.Role != "server":
		return nil, release, fmt.Errorf("this is no server but an %s: the cluster is saved on its server", report.Role)
	case err == nil:
		return snapshot.Client{Socket: layout.StatusSocket()}, release, refuseIdleOptions(resolved)
	case errors.Is(err, fs.ErrPermission):
		return nil, release, fmt.Errorf("%w: run it as root", err)
	case !errors.Is(err, health.ErrNotRunning):
		return nil, release, err
	}
	m, err := o.manager(layout)
	if err != nil || !change {
		return m, release, err
	}
	lock, err := fsx.Lock(layout.ProcessLock())
	if errors.Is(err, fsx.ErrLocked) {
		err = fmt.Errorf("a kedge on %s starts or stops just now: %w: try again in a moment", layout.DataDir, err)
	}
	if err != nil {
		return nil, release, err
	}
	// A restore that was killed leaves a database and a log that are not of each other.
	if _, err := restore.Finish(layout); err != nil {
		return nil, release, errors.Join(err, lock.Close())
	}
	return m, func() { _ = lock.Close() }, nil
}

// manager works on the files of a server that does not run.
func (o *snapshotCommand) manager(layout paths.Layout) (*snapshot.Manager, error) {
	if _, err := os.Stat(layout.Server()); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w: run it as root", err)
		}
		return nil, fmt.Errorf("%s holds no server's data: run this on a server, or name its --data-dir", layout.DataDir)
	}
	node := o.node
	if node == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("read the host name (set --node-name): %w", err)
		}
		node = strings.ToLower(strings.TrimSpace(host))
	}
	if err := wire.CheckNodeName(node); err != nil {
		return nil, usageError(fmt.Errorf("--node-name: %w", err))
	}
	s, err := o.options.config(layout, node)
	if err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, usageError(err)
	}
	return snapshot.New(server.SnapshotConfig(layout, node, peek("datastore-endpoint"), s)), nil
}

// refuseIdleOptions refuses what would have no effect, because a server runs.
func refuseIdleOptions(r *config.Resolved) error {
	for _, v := range r.Values {
		if v.Origin == "flag" && (strings.HasPrefix(v.Key, "snapshot-") || v.Key == "node-name") {
			return usageError(fmt.Errorf("--%s has no effect, because a server runs on this data directory and its own options count: give it to kedge server or in the configuration file", v.Key))
		}
	}
	return nil
}
