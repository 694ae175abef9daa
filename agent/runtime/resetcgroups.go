package runtime

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// cgroupRef is a cgroup as /proc/PID/cgroup names it.
type cgroupRef struct {
	hierarchy string // controllers, "name=x", or "" for cgroup v2
	path      string
}

func (r *reset) noteCgroup(c cgroupRef) {
	if !slices.Contains(r.cgroups, c) {
		r.cgroups = append(r.cgroups, c)
	}
}

// cgroupMounts lists the mount points of all hierarchies by the name that
// /proc/PID/cgroup gives them.
func cgroupMounts() map[string]string {
	out := map[string]string{}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return out
	}
	for _, m := range mounts {
		if m.FSType == "cgroup2" {
			out[""] = m.Mountpoint
			continue
		}
		var names []string
		for opt := range strings.SplitSeq(m.VFSOptions, ",") {
			if opt != "rw" && opt != "ro" && opt != "xattr" && opt != "clone_children" && !strings.HasPrefix(opt, "release_agent") {
				names = append(names, opt)
			}
		}
		out[strings.Join(names, ",")] = m.Mountpoint
	}
	return out
}

// kubepods are the folders that kubelet makes below its cgroup root, for the
// two cgroup drivers.
var kubepods = []string{"kubepods", "kubepods.slice"}

// podDirs lists kubelet's cgroup folders of all pods, deepest first, in every
// hierarchy.
func (r *reset) podDirs() []string {
	var out []string
	for _, mount := range cgroupMounts() {
		for _, name := range kubepods {
			out = append(out, cgroupTree(filepath.Join(mount, r.cfg.CgroupRoot, name))...)
		}
	}
	return out
}

// cgroupTree lists dir and all folders below it, children before parents.
func cgroupTree(dir string) []string {
	var out []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			out = append(out, path)
		}
		return nil
	})
	slices.Reverse(out)
	return out
}

// oursByUID tells whether a cgroup folder belongs to one of our pods: its path
// has pod<uid>, in systemd's slices with underscores.
func oursByUID(path string, uids map[string]bool) bool {
	for part := range strings.SplitSeq(path, "/") {
		i := strings.LastIndex(part, "pod")
		if i < 0 {
			continue
		}
		uid := strings.TrimSuffix(part[i+len("pod"):], ".slice")
		if uids[uid] || uids[strings.ReplaceAll(uid, "_", "-")] {
			return true
		}
	}
	return false
}

// ours tells whether processes in a cgroup folder may be ended: everything
// below a cgroup root that is ours alone, else only known pods.
func (r *reset) ours(dir string) bool {
	return filepath.Clean(r.cfg.CgroupRoot) != "/" || oursByUID(dir, r.uids)
}

// podProcesses lists processes in the cgroups of our pods.
func (r *reset) podProcesses() []int {
	var out []int
	for _, dir := range r.podDirs() {
		if !r.ours(dir) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(data)) {
			// 0 stands for a process outside our pid namespace.
			if pid, err := strconv.Atoi(f); err == nil && pid > 1 {
				out = append(out, pid)
			}
		}
	}
	return out
}

// removeCgroups removes bottom up. The kernel refuses a cgroup with processes
// in it, so folders that another kubelet uses stay.
func (r *reset) removeCgroups() {
	for _, dir := range r.podDirs() {
		if err := removeCgroup(dir); err != nil && r.ours(dir) {
			r.left("cgroup", dir, err)
		}
	}
	mounts := cgroupMounts()
	root := filepath.Clean(r.cfg.CgroupRoot)
	for _, c := range r.cgroups {
		mount, ok := mounts[c.hierarchy]
		if !ok {
			continue
		}
		for _, dir := range cgroupTree(filepath.Join(mount, c.path)) {
			if err := removeCgroup(dir); err != nil {
				r.left("cgroup", dir, err)
			}
		}
		for p := filepath.Dir(c.path); p != "/" && p != root && p != "."; p = filepath.Dir(p) {
			if removeCgroup(filepath.Join(mount, p)) != nil {
				break
			}
		}
	}
}

// removeCgroup takes an absent folder for removed. The kernel may hold a
// cgroup for a moment after its last process was reaped.
func removeCgroup(dir string) error {
	const tries = 20
	var err error
	for range tries {
		err = unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || hasProcesses(dir) {
			return err
		}
		pause()
	}
	return err
}

func hasProcesses(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return err != nil || len(data) > 0
}
