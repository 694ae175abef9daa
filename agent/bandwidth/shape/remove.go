package shape

import (
	"context"
	"log/slog"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// Remove takes away all that kedge has in the kernel for bandwidth, whoever made
// it and whatever state it is in. It needs no state and no programs.
func Remove(ctx context.Context) error {
	return New(slog.New(slog.DiscardHandler), nil).Remove(ctx)
}

// Remove is the same for a Kernel that has applied plans; it can go on.
func (k *Kernel) Remove(ctx context.Context) error {
	_, err := k.Apply(ctx, plan.Plan{})
	if closing := k.Close(); err == nil {
		err = closing
	}
	return err
}
