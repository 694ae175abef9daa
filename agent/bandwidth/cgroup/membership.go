package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// membership is where a process is: the path in each hierarchy by the
// hierarchy's name, "" for cgroup2 (cgroups(7), /proc/PID/cgroup).
type membership map[string]string

func membershipOf(pid int) (membership, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	return parseMembership(string(text)), nil
}

func parseMembership(text string) membership {
	m := membership{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		// A path that begins with /.. is outside of what this process can name.
		if len(parts) == 3 && !strings.HasPrefix(parts[2], "/..") {
			m[parts[1]] = parts[2]
		}
	}
	return m
}

// ownFolder cuts path after the element that names the container, because what
// runs in a container may make folders below its own. ok is false when none
// does.
func ownFolder(path, id string) (folder string, ok bool) {
	elements := strings.Split(path, "/")
	i := slices.IndexFunc(elements, func(e string) bool { return strings.Contains(e, id) })
	if id == "" || i < 0 {
		return "", false
	}
	return strings.Join(elements[:i+1], "/"), true
}

// legacyFolder is the container's folder in one of the v1 hierarchies, as a
// path in the file system.
func (m membership) legacyFolder(id string) (string, bool) {
	mounts, err := legacyMounts()
	if err != nil {
		return "", false
	}
	for name, path := range m {
		mount, mounted := mounts[name]
		if folder, ok := ownFolder(path, id); ok && mounted {
			return filepath.Join(mount, folder), true
		}
	}
	return "", false
}

// legacyMounts are the mount points of v1 hierarchies by the name that
// /proc/PID/cgroup has for them.
func legacyMounts() (map[string]string, error) {
	all, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		return nil, fmt.Errorf("look for cgroup v1: %w", err)
	}
	mounts := map[string]string{}
	for _, m := range all {
		if m.Root == "/" {
			mounts[legacyName(m.VFSOptions)] = m.Mountpoint
		}
	}
	return mounts, nil
}

// legacyName picks the controllers or the name out of the options of a mount.
func legacyName(options string) string {
	var names []string
	for option := range strings.SplitSeq(options, ",") {
		switch {
		case option == "rw", option == "ro", option == "xattr", option == "clone_children", option == "noprefix",
			option == "cpuset_v2_mode", strings.HasPrefix(option, "release_agent"), strings.HasPrefix(option, "favordynmods"):
		default:
			names = append(names, option)
		}
	}
	return strings.Join(names, ",")
}

// processes lists the processes in a folder and those below it. What vanishes
// meanwhile has none.
func processes(dir string) []int {
	var pids []int
	for _, d := range tree(dir) {
		text, err := os.ReadFile(filepath.Join(d, "cgroup.procs"))
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			// 0 is a process outside of our pid namespace.
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// tree lists dir and all folders below it, parents first.
func tree(dir string) []string {
	all := []string{dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, tree(filepath.Join(dir, e.Name()))...)
		}
	}
	return all
}
