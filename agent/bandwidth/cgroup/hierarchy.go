package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ErrNone is the answer where the kernel gives no cgroup2 hierarchy.
var ErrNone = errors.New("the kernel has no cgroup2, so traffic of containers is told apart by declared ports only")

// hierarchy is the one cgroup2 tree of the kernel.
type hierarchy struct {
	// top is the path of its root.
	top string
	// mount holds a mount that has no place in the file system; nil where the
	// host has one that has.
	mount *os.File
}

// open finds the hierarchy where the host has mounted it, or makes a mount that
// only this process sees: folders outlive it.
func open() (*hierarchy, error) {
	mounted, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("look for cgroup2: %w", err)
	}
	for _, m := range mounted {
		// Another root means that only a part of the tree is there.
		if m.Root == "/" && !strings.HasPrefix(m.Options, "ro") {
			return &hierarchy{top: m.Mountpoint}, nil
		}
	}
	return detached("")
}

// detached mounts cgroup2 nowhere (fsopen(2), Linux 5.2). The flags of a mount,
// separated by commas, become those of all mounts of the hierarchy; where there
// is none yet they do not matter.
func detached(flags string) (*hierarchy, error) {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w (fsopen: %w)", ErrNone, err)
	}
	defer func() { _ = unix.Close(fs) }()
	for flag := range strings.SplitSeq(flags, ",") {
		if flag == "" || flag == "rw" {
			continue
		}
		if err := unix.FsconfigSetFlag(fs, flag); err != nil {
			return nil, fmt.Errorf("mount cgroup2 with %s: %w", flag, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("%w (fsconfig: %w)", ErrNone, err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w (fsmount: %w)", ErrNone, err)
	}
	top := fmt.Sprintf("/proc/self/fd/%d", mount)
	return &hierarchy{top: top, mount: os.NewFile(uintptr(mount), "cgroup2")}, nil
}

func (h *hierarchy) close() {
	if h.mount != nil {
		_ = h.mount.Close()
	}
}

// folder is where a path inside the hierarchy is.
func (h *hierarchy) folder(path string) string { return filepath.Join(h.top, path) }

// identity returns what bpf_skb_cgroup_id and its relatives give for a path
// inside the hierarchy: the kernel's 64 bits for the folder, which its file
// handle carries (fs/kernfs/mount.c) and on 64-bit machines its inode number.
func (h *hierarchy) identity(path string) (uint64, error) {
	dir := h.folder(path)
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
	if err == nil && handle.Size() == 8 {
		return binary.NativeEndian.Uint64(handle.Bytes()), nil
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, fmt.Errorf("cgroup2 folder %s: %w", path, err)
	}
	return st.Ino, nil
}

// Identity returns the identity of a cgroup2 folder given by its path inside
// the hierarchy, for instance "/system.slice/bird.service". The error is
// [ErrNone], or os.ErrNotExist for a folder that is not there.
func Identity(path string) (uint64, error) {
	h, err := open()
	if err != nil {
		return 0, err
	}
	defer h.close()
	return h.identity(path)
}
