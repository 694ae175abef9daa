package bandwidth

import (
	"context"
	"errors"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
)

// RemoveAll takes away all that kedge has in the kernel for bandwidth in this
// network namespace, and the folders in which containers were mirrored: queueing
// disciplines, filters with their programs, devices. It needs no running state,
// may be repeated, and goes on after an error. Files are left to the owner of
// the data directory.
func RemoveAll(ctx context.Context, folders cgroup.Config) error {
	return errors.Join(shape.Remove(ctx), cgroup.Remove(ctx, folders))
}
