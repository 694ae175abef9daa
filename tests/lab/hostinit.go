package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hostConfig is what PID 1 of a host is told in its argument.
type hostConfig struct {
	Name       string
	Dir        string // the host's directory on the machine's disk
	Root       string // another root file system; empty for the machine's
	Nameserver string
	Search     string
}

// overlaid directories are the machine's own to read and the host's own to write.
var overlaid = []string{"/etc", "/opt", "/usr/local", "/usr/libexec", "/var/lib", "/var/log", "/var/cache"}

// absent are places of the machine's own cluster software, should it have any: a host starts
// without them.
var absent = []string{
	"/etc/kedge", "/etc/cni", "/opt/cni", "/var/lib/kedge", "/var/lib/kubelet", "/var/lib/cni",
	"/var/lib/containerd", "/var/log/pods", "/var/log/containers",
}

// kept directories are plain ones on the machine's disk. An overlay cannot carry the overlays of
// containers, and a program can be shared by a hard link.
var kept = []string{"/var/lib/kedge", "/usr/local/bin"}

// Descriptors that PID 1 of a host inherits.
const (
	fdLifeline = 0
	fdReady    = 3
)

// hostMain is PID 1 of a host: it builds the mounts, says that it is ready, reaps orphans as any
// PID 1 must, and ends with the owner. The kernel then ends every process of the host.
func hostMain(config string) error {
	var c hostConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(c.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := c.mountAll(); err != nil {
		return err
	}
	ready := os.NewFile(fdReady, "ready")
	if _, err := ready.WriteString("ready"); err != nil {
		return err
	}
	if err := ready.Close(); err != nil {
		return err
	}
	go reapOrphans()
	_, err := io.Copy(io.Discard, os.NewFile(fdLifeline, "lifeline"))
	return err
}

// reapOrphans collects children for ever. Without any, it waits for the signal that says there
// may be some.
func reapOrphans() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if errors.Is(err, unix.ECHILD) {
			<-signals
		}
	}
}

func (c hostConfig) mountAll() error {
	// First cut off from the machine, then shared within the host, as systemd has it and as
	// mount propagation of containers needs it.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	steps := []func() error{c.overlays, c.binds, c.kernel, c.files}
	if c.Root != "" {
		steps = []func() error{c.ownRoot, c.kernel, c.files}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}

// overlays gives the host its own writable copy of the machine's system directories.
func (c hostConfig) overlays() error {
	first := false
	for _, dir := range overlaid {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		u, w := filepath.Join(c.Dir, "upper", dir), filepath.Join(c.Dir, "work", dir)
		if _, err := os.Stat(u); err != nil {
			first = true
		}
		if err := errors.Join(os.MkdirAll(u, 0o755), os.MkdirAll(w, 0o755)); err != nil {
			return err
		}
		options := "lowerdir=" + dir + ",upperdir=" + u + ",workdir=" + w
		if err := unix.Mount("lab", dir, "overlay", 0, options); err != nil {
			return fmt.Errorf("mount overlay on %s: %w", dir, err)
		}
	}
	if !first {
		return nil
	}
	for _, dir := range absent {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// binds puts the kept directories in place.
func (c hostConfig) binds() error { return c.bindsBelow("/") }

func (c hostConfig) bindsBelow(root string) error {
	for _, dir := range kept {
		from, to := filepath.Join(c.Dir, "disk", dir), filepath.Join(root, dir)
		if err := errors.Join(os.MkdirAll(from, 0o755), os.MkdirAll(to, 0o755)); err != nil {
			return err
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", dir, err)
		}
	}
	return nil
}

// ownRoot makes a file system of the host's own its root: Root to read, and what is written goes to
// the host's directory. The machine's is out of sight then.
func (c hostConfig) ownRoot() error {
	root, u, w := filepath.Join(c.Dir, "root"), filepath.Join(c.Dir, "upper"), filepath.Join(c.Dir, "work")
	if err := errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(u, 0o755), os.MkdirAll(w, 0o755)); err != nil {
		return err
	}
	if err := unix.Mount("lab", root, "overlay", 0, "lowerdir="+c.Root+",upperdir="+u+",workdir="+w); err != nil {
		return fmt.Errorf("mount overlay of %s: %w", c.Root, err)
	}
	if err := c.bindsBelow(root); err != nil {
		return err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(dir, root+dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", dir, err)
		}
	}
	old := filepath.Join(root, "mnt")
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("make %s the root: %w", root, err)
	}
	return errors.Join(os.Chdir("/"), unix.Unmount("/mnt", unix.MNT_DETACH))
}

// kernel mounts /run, /proc and /sys of this host's namespaces. A new /sys hides the cgroup trees
// that are mounted below the old one, so they are picked up first and put back.
func (c hostConfig) kernel() error {
	const cgroups = "/sys/fs/cgroup"
	tree, err := unix.OpenTree(unix.AT_FDCWD, cgroups,
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("pick up %s: %w", cgroups, err)
	}
	defer func() { _ = unix.Close(tree) }()
	for _, m := range []struct{ kind, dir, options string }{
		{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"tmpfs", "/run", "mode=0755"},
	} {
		if err := unix.Mount("lab", m.dir, m.kind, unix.MS_NOSUID|unix.MS_NODEV, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, cgroups, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("put back %s: %w", cgroups, err)
	}
	if err := unix.Mount("lab", "/sys/fs/bpf", "bpf", 0, "mode=0700"); err != nil && !missing(err) {
		return fmt.Errorf("mount /sys/fs/bpf: %w", err)
	}
	return os.MkdirAll("/run/lock", 0o1777)
}

func missing(err error) bool {
	return slices.ContainsFunc([]error{unix.ENODEV, unix.ENOENT, unix.EPERM}, func(e error) bool { return errors.Is(err, e) })
}

// files writes the host's identity into its own /etc.
func (c hostConfig) files() error {
	id := fmt.Sprintf("%x", c.Name+strings.Repeat("\x00", 16))[:32]
	for name, text := range map[string]string{
		"/etc/hostname":    c.Name + "\n",
		"/etc/machine-id":  id + "\n",
		"/etc/hosts":       "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + c.Name + "\n",
		"/etc/resolv.conf": "nameserver " + c.Nameserver + "\nsearch " + c.Search + "\n",
	} {
		// Any of them may be a link into the /run that is no more.
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
