package runtime

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/paths"
)

const (
	// Namespace is the containerd namespace of everything that Kubernetes runs.
	Namespace = "k8s.io"
	// DefaultSandboxImage is the pause image inside the runtime bundle.
	DefaultSandboxImage = "registry.kedge.io/pause:1"
	// maxShimSocketDir is the longest folder of shim sockets in bytes that
	// containerd accepts (core/runtime/v2/socket_linux.go).
	maxShimSocketDir = 42
)

// Snapshotters that are linked in.
const (
	SnapshotterOverlay = "overlayfs"
	SnapshotterNative  = "native"
)

// Config says how this node runs containerd. Only Layout is required.
type Config struct {
	// Layout gives every path, sockets included.
	Layout paths.Layout
	// Command starts containerd when its flags are appended. Empty means this
	// executable with the argument "containerd".
	Command []string
	// Env is the daemon's environment in the form of os.Environ. Only the
	// search path, proxies and trust anchors of it are passed on.
	Env []string
	// SandboxImage is the full name of the pause image. Empty means
	// [DefaultSandboxImage].
	SandboxImage string
	// PauseArchive is imported at start when its image is missing. Empty means
	// images/pause.tar next to the current slot's bin folder; a file that does
	// not exist is an error only if the image is not there either.
	PauseArchive string
	// Snapshotter is [SnapshotterOverlay] (also when empty) or, where
	// overlayfs does not work, [SnapshotterNative], which copies whole layers.
	Snapshotter string
	// SystemdCgroup lets systemd make the cgroups of containers; kubelet must
	// use the same driver.
	SystemdCgroup bool
	// RestrictOOMScore keeps containers' oom_score_adj at or above
	// containerd's own, for hosts where it may not be lowered.
	RestrictOOMScore bool
	// Debug raises containerd's log level from warn to debug.
	Debug bool
}

// WithDefaults returns a copy in which every empty field has its default.
func (c Config) WithDefaults() Config {
	if len(c.Command) == 0 {
		c.Command = []string{selfExe, "containerd"}
	}
	if c.SandboxImage == "" {
		c.SandboxImage = DefaultSandboxImage
	}
	if c.PauseArchive == "" {
		c.PauseArchive = filepath.Join(filepath.Dir(c.Layout.CurrentBin()), "images", "pause.tar")
	}
	if c.Snapshotter == "" {
		c.Snapshotter = SnapshotterOverlay
	}
	return c
}

// Validate reports all problems of c joined.
func (c Config) Validate() error {
	var errs []error
	for name, p := range map[string]string{"data directory": c.Layout.DataDir, "run directory": c.Layout.RunDir} {
		if !filepath.IsAbs(p) {
			errs = append(errs, fmt.Errorf("%s %q must be an absolute path", name, p))
		}
	}
	if c.Snapshotter != "" && c.Snapshotter != SnapshotterOverlay && c.Snapshotter != SnapshotterNative {
		errs = append(errs, fmt.Errorf("snapshotter %q must be %s or %s", c.Snapshotter, SnapshotterOverlay, SnapshotterNative))
	}
	if dir := c.shimSockets(); len(dir) > maxShimSocketDir {
		errs = append(errs, fmt.Errorf("folder of shim sockets %s is longer than %d bytes: use a shorter run directory", dir, maxShimSocketDir))
	}
	return errors.Join(errs...)
}

// etc holds what a person may edit.
func (c Config) etc() string { return filepath.Join(c.Layout.Agent(), "etc", "containerd") }

// configFile is written by kedge at each start.
func (c Config) configFile() string { return filepath.Join(c.etc(), "config.toml") }

// dropIns is the pattern of files merged over the written configuration.
func (c Config) dropIns() string { return filepath.Join(c.etc(), "config.toml.d", "*.toml") }

func (c Config) certsDir() string    { return c.Layout.RegistryHosts() }
func (c Config) shimSockets() string { return filepath.Join(c.Layout.ContainerdState(), "s") }

// nriSocket is where containerd offers its hooks.
func (c Config) nriSocket() string { return filepath.Join(c.Layout.ContainerdState(), "nri.sock") }

// nriPlugins may hold plugins of other makers, which containerd starts itself.
// It need not exist.
func (c Config) nriPlugins() string { return filepath.Join(c.etc(), "nri") }

func (c Config) logFile() string    { return filepath.Join(c.Layout.Logs(), "containerd.log") }
func (c Config) recordFile() string { return filepath.Join(c.Layout.RunDir, "containerd.json") }

// importedFile remembers imports. It lies in containerd's root so that it goes
// when the images go.
func (c Config) importedFile() string {
	return filepath.Join(c.Layout.Containerd(), "kedge-imported.json")
}
