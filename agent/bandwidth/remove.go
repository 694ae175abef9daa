package bandwidth

import (
	"context"
	"errors"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/internal/paths"
)

// RemoveAll takes away all that kedge has in the kernel for bandwidth in this
// network namespace: queueing disciplines, filters with their programs, devices. It
// needs no running state, may be repeated, and goes on after an error.
func RemoveAll(ctx context.Context) error { return shape.Remove(ctx) }

// RemoveFolders takes away the folders in which containers of the node with that
// layout were mirrored below the given cgroup roots, which is to happen when the
// containers are gone. Files are left to the owner of the data directory.
func RemoveFolders(ctx context.Context, layout paths.Layout, cgroupRoots ...string) error {
	var errs []error
	for _, root := range cgroupRoots {
		errs = append(errs, cgroup.Remove(ctx, cgroup.NewConfig(layout, root)))
	}
	return errors.Join(errs...)
}
