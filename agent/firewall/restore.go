package firewall

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"

	"github.com/kedge-io/kedge/edgefw"
	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/paths"
)

// Restore puts in force what was proven last on this node, before anything of it
// runs and without a network. Where nothing was, it does nothing; where the file is
// damaged, the minimal safe set is in force afterwards.
func Restore(ctx context.Context, layout paths.Layout, h Host, log *slog.Logger) (edgefw.Restoration, error) {
	if _, err := os.Stat(File(layout)); errors.Is(err, fs.ErrNotExist) {
		return edgefw.Restoration{}, nil // also on a host without iptables
	}
	log = log.With("component", Name)
	kernel, err := apply.New(apply.Config{Log: log})
	if err != nil {
		return edgefw.Restoration{}, err
	}
	defer func() { _ = kernel.Close() }()
	return edgefw.Restore(ctx, kernel, File(layout), podsFile(layout), func(stored model.Facts) model.Facts {
		return merge(stored, ofHost(h, "/"))
	}, log)
}

// merge is what was known, with what the host says now. What was said to the daemon
// counts where nothing is said here: who has lost the network has lost its
// configuration as well, or never wrote it into a file.
func merge(stored, host model.Facts) model.Facts {
	if len(host.Failsafe) > 0 {
		stored.Failsafe = host.Failsafe
	}
	if host.Door != 0 {
		stored.Door = host.Door
	}
	stored.Resolvers = slices.Concat(stored.Resolvers, host.Resolvers)
	slices.SortFunc(stored.Resolvers, netip.Addr.Compare)
	stored.Resolvers = slices.Compact(stored.Resolvers)
	return stored
}

// RemoveAll takes away all that kedge has in the kernel for the firewall in this
// network namespace. It needs no running state and may be repeated; without
// iptables there is nothing.
func RemoveAll(ctx context.Context) error { return apply.RemoveAll(ctx) }
