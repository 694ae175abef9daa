package runtime

import (
	"context"
	"fmt"

	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/slots"
)

// SweepSlots removes the slots of former runtime bundles from which no program
// runs any more. The shims of containers that outlived an upgrade keep theirs
// until they end.
func SweepSlots(ctx context.Context, layout paths.Layout) ([]string, error) {
	programs, err := slots.Running(string(hostProc))
	if err != nil {
		return nil, fmt.Errorf("look for programs of former runtime bundles: %w", err)
	}
	return bundle.Sweep(ctx, layout.Data(), programs.In)
}
