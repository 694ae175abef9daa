package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd/command"
	"github.com/containernetworking/cni/libcni"

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
	// The program was started by the name /proc/self/exe; ps should say what it is.
	_ = os.WriteFile("/proc/self/comm", []byte("containerd"), 0)
	libcni.CacheDir = cniCache(args)
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	time.AfterFunc(settle, func() { _ = resident.Trim() }) // only an economy: no harm if it fails

	if err := command.App().Run(append([]string{"containerd"}, args...)); err != nil {
		return fmt.Errorf("run containerd: %w", err)
	}
	return nil
}

// cniCache is the folder where the CNI library remembers what it gave to each
// pod: beside the rest of the pod network's state rather than in /var/lib/cni,
// which all nodes of a host would share. The data directory is known by the
// place of the configuration.
func cniCache(args []string) string {
	config := after(args, "--config")
	if config == "" {
		return libcni.CacheDir
	}
	return filepath.Join(filepath.Dir(config), "..", "..", "cni", "cache")
}
