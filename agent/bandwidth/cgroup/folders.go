package cgroup

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/paths"
)

// Config says where folders of our own are.
type Config struct {
	// Root is kubelet's cgroup root, a path inside each hierarchy. Empty means
	// "/".
	Root string
	// Name is the folder below Root in which containers are mirrored. It
	// differs between nodes that share a host.
	Name string
	// MountPoint is where cgroup2 is mounted where the host has it nowhere.
	MountPoint string
}

// NewConfig returns the places of the node with that layout.
func NewConfig(layout paths.Layout, cgroupRoot string) Config {
	return Config{
		Root:       cgroupRoot,
		Name:       filepath.Base(layout.RunDir),
		MountPoint: filepath.Join(layout.RunDir, "cgroup2"),
	}
}

// Container is what is known of a container.
type Container struct {
	// ID is the runtime's.
	ID string
	// Pid is its first process; 0 for none.
	Pid int
	// Path is the runtime specification's cgroupsPath, in either form.
	Path string
}

// Folders finds or makes the folders of containers. Its methods may be called
// from any goroutine.
type Folders struct {
	cfg Config
	log *slog.Logger
}

// New returns folders without looking at the host.
func New(cfg Config, log *slog.Logger) *Folders { return &Folders{cfg: cfg, log: log} }

// ErrNone is the answer where the kernel has no cgroup2.
var ErrNone = errors.New("the kernel has no cgroup2, so traffic is told apart by declared ports only")

// Mirrored tells whether containers get folders of ours: then processes that
// are added later must be brought in by [Folders.Gather].
func (f *Folders) Mirrored() bool { return false }

// Identify returns the identity of the container's folder, for sockets made
// from now on. Where folders are ours, it makes the folder and moves all
// processes of the container there. The identity is what bpf_skb_cgroup_id
// gives. The error is [ErrNone] or about this container.
func (f *Folders) Identify(ctx context.Context, c Container) (uint64, error) { return 0, ErrNone }

// Gather moves processes that are not in the container's folder there. It does
// nothing where folders are not ours.
func (f *Folders) Gather(ctx context.Context, c Container) error { return nil }

// Keep removes the folders of containers that are not in ids (sweep); one with
// processes stays.
func (f *Folders) Keep(ids []string) error { return nil }

// Remove takes away everything of ours: folders, whose processes go to the root
// of the hierarchy, and the mount. It needs no running state.
func Remove(ctx context.Context, cfg Config) error { return nil }

// Identity returns the identity of a cgroup2 folder given by its path inside
// the hierarchy, for instance "/system.slice/bird.service".
func Identity(path string) (uint64, error) { return 0, ErrNone }
