package runtime

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/paths"
)

// SweepSlots removes the slots of former runtime bundles from which no program
// runs any more. The shims of containers that outlived an upgrade keep theirs
// until they end.
func SweepSlots(ctx context.Context, layout paths.Layout) ([]string, error) {
	programs, err := running(hostProc)
	if err != nil {
		return nil, fmt.Errorf("look for programs of former runtime bundles: %w", err)
	}
	return bundle.Sweep(ctx, layout.Data(), func(slot string) bool {
		// The kernel names programs without symbolic links on the way.
		if target, err := filepath.EvalSymlinks(slot); err == nil {
			slot = target
		}
		return slices.ContainsFunc(programs, func(exe string) bool { return strings.HasPrefix(exe, slot+"/") })
	})
}

// running lists the programs of all processes.
func running(p procFS) ([]string, error) {
	pids, err := p.pids()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, pid := range pids {
		if exe := p.exe(pid); exe != "" {
			all = append(all, exe)
		}
	}
	return all, nil
}
