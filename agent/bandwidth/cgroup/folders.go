package cgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/paths"
)

// Config says where folders of our own are.
type Config struct {
	// Root is kubelet's cgroup root, a path inside each hierarchy. Empty means
	// "/".
	Root string
	// Name is the folder below Root in which containers are mirrored. Root and
	// Name together differ between nodes that share a host.
	Name string
}

// NewConfig returns the places of the node with that layout.
func NewConfig(layout paths.Layout, cgroupRoot string) Config {
	return Config{Root: cgroupRoot, Name: filepath.Base(layout.RunDir)}
}

// parent is the folder of all mirrored containers, inside the hierarchy.
func (c Config) parent() string { return path.Join("/", c.Root, c.Name) }

// Container is what is known of a container that runs or is about to.
type Container struct {
	// ID is the runtime's.
	ID string
	// Pid is its first process.
	Pid int
}

// Folders finds or makes the folders of containers. Its methods may be called
// from any goroutine.
type Folders struct {
	cfg Config
	log *slog.Logger

	mu sync.Mutex
	h  *hierarchy
	// making keeps a sweep from a folder that is about to get its processes.
	making sync.Mutex
}

// New returns folders without looking at the host.
func New(cfg Config, log *slog.Logger) *Folders { return &Folders{cfg: cfg, log: log} }

// hierarchy returns the open hierarchy.
func (f *Folders) hierarchy() (*hierarchy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h == nil {
		h, err := open()
		if err != nil {
			return nil, err
		}
		if h.mount != nil {
			f.log.Info("cgroup v1 alone: processes of containers are mirrored into cgroup2", "folder", f.cfg.parent())
		}
		f.h = h
	}
	return f.h, nil
}

// Mirrored tells whether containers of this host get folders of ours: then
// processes that are added to them later must be brought in by
// [Folders.Gather].
func (f *Folders) Mirrored() bool {
	// runc looks at these two places and at nothing else
	// (opencontainers/cgroups, utils.go).
	return !isCgroup2("/sys/fs/cgroup") && !isCgroup2("/sys/fs/cgroup/unified")
}

func isCgroup2(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Identify returns the identity of the container's folder. Where folders are
// ours, it makes the folder and moves all processes of the container there; the
// identity holds for sockets that they make from then on. It is what
// bpf_skb_cgroup_id gives, and stays the same as long as the container lives.
// The error is [ErrNone] or about this container.
func (f *Folders) Identify(ctx context.Context, c Container) (uint64, error) {
	h, err := f.hierarchy()
	if err != nil {
		return 0, err
	}
	m, err := membershipOf(c.Pid)
	if err != nil {
		return 0, fmt.Errorf("cgroup of container %s: %w", c.ID, err)
	}
	if own, ok := ownFolder(m[""], c.ID); ok && path.Dir(own) != f.cfg.parent() {
		return h.identity(own)
	}
	legacy, ok := m.legacyFolder(c.ID)
	if !ok {
		return 0, fmt.Errorf("container %s: its process %d is in no folder that carries its name", c.ID, c.Pid)
	}
	f.making.Lock()
	defer f.making.Unlock()
	mine := mirror{h: h, path: path.Join(f.cfg.parent(), c.ID)}
	if err := mine.gather(ctx, legacy); err != nil {
		return 0, fmt.Errorf("mirror container %s: %w", c.ID, err)
	}
	return h.identity(mine.path)
}

// Gather moves processes of the container that are not in its folder there. It
// does nothing where folders are not ours, or when the container ended.
func (f *Folders) Gather(ctx context.Context, c Container) error {
	_, err := f.Identify(ctx, c)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
