package runtime

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd/command"

	"github.com/kedge-io/kedge/internal/resident"
)

const (
	// gcPercent trades a little processor time of a mostly idle process for
	// memory: the heap is small, and an edge node counts its megabytes.
	gcPercent = 50
	// memoryLimit in bytes is soft: above it the collector works harder, as
	// during the unpacking of an image. Nothing is refused.
	memoryLimit = 96 << 20
	// settle is when what only the start needed is handed back to the kernel.
	settle = 20 * time.Second
)

// Main is the body of the hidden command that the agent re-executes itself
// with: it runs containerd in the foreground until SIGTERM. args are those
// after the command's own name, as containerd's own binary would take them.
// The limits are set here and not by environment, which shims would inherit.
func Main(args []string) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	time.AfterFunc(settle, func() { _ = resident.Trim() }) // only an economy: no harm if it fails

	if err := command.App().Run(append([]string{"containerd"}, args...)); err != nil {
		return fmt.Errorf("run containerd: %w", err)
	}
	return nil
}
