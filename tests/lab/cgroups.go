package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// hierarchy is one mounted cgroup tree of this machine.
type hierarchy struct {
	mount   string
	unified bool
	cpuset  bool
}

// hierarchies reads the mounted cgroup trees, one per tree.
func hierarchies() ([]hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []hierarchy
	seen := map[string]bool{}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		left, right, ok := strings.Cut(sc.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || !strings.HasPrefix(r[0], "cgroup") || seen[l[2]] {
			continue
		}
		seen[l[2]] = true
		all = append(all, hierarchy{
			mount:   l[4],
			unified: r[0] == "cgroup2",
			cpuset:  r[0] == "cgroup" && slices.Contains(strings.Split(r[2], ","), "cpuset"),
		})
	}
	if len(all) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted: mount cgroup2 on /sys/fs/cgroup")
	}
	return all, sc.Err()
}

// cgroupSet is one cgroup path in every hierarchy.
type cgroupSet struct {
	trees []hierarchy
	path  string // absolute in the hierarchy: /kedge-lab-.../server/procs
}

// makeCgroups creates path and its parents in every hierarchy, ready for processes and for
// children: cpusets filled (v1), controllers handed down to every parent (v2).
func makeCgroups(path string) (cgroupSet, error) {
	trees, err := hierarchies()
	if err != nil {
		return cgroupSet{}, err
	}
	for _, h := range trees {
		if err := h.make(path); err != nil {
			return cgroupSet{}, fmt.Errorf("make cgroup %s in %s: %w", path, h.mount, err)
		}
	}
	return cgroupSet{trees: trees, path: path}, nil
}

func (h hierarchy) make(path string) error {
	dir := h.mount
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		parent := dir
		if h.unified {
			handDown(parent)
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !h.cpuset {
			continue
		}
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := copyIfEmpty(filepath.Join(parent, f), filepath.Join(dir, f)); err != nil {
				return err
			}
		}
	}
	return nil
}

// handDown enables for the children of dir what dir has. On a hybrid machine the unified tree
// has next to nothing, and a controller that cannot be handed down is not an error here: the
// program under test says what it misses.
func handDown(dir string) {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for c := range strings.FieldsSeq(string(have)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644)
	}
}

func copyIfEmpty(from, to string) error {
	now, err := os.ReadFile(to)
	if err != nil || strings.TrimSpace(string(now)) != "" {
		return err
	}
	value, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, value, 0o644)
}

// adoptThread puts the calling thread into the set (v1), so that what it forks starts there, and
// tells cmd to start in the unified cgroup. The caller calls release after the start.
func (c cgroupSet) adoptThread(cmd *exec.Cmd) (release func(), err error) {
	release = func() {}
	for _, h := range c.trees {
		dir := filepath.Join(h.mount, c.path)
		if !h.unified {
			if err := os.WriteFile(filepath.Join(dir, "tasks"), []byte("0"), 0o644); err != nil {
				return release, fmt.Errorf("join cgroup: %w", err)
			}
			continue
		}
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return release, fmt.Errorf("open cgroup %s: %w", dir, err)
		}
		release = func() { _ = unix.Close(fd) }
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	}
	return release, nil
}

// cgroupsNamed lists the directories of that top-level name in all hierarchies.
func cgroupsNamed(name string) []string {
	trees, err := hierarchies()
	if err != nil {
		return nil
	}
	var dirs []string
	for _, h := range trees {
		dir := filepath.Join(h.mount, name)
		if _, err := os.Stat(dir); err == nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// members lists the processes in dir and below.
func members(dir string) []int {
	var pids []int
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // a cgroup that went meanwhile has no members
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for f := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// removeCgroup removes dir and everything below, children first.
func removeCgroup(dir string) error {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var problems []error
	for _, d := range slices.Backward(dirs) {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) {
			problems = append(problems, fmt.Errorf("remove cgroup %s: %w", d, err))
		}
	}
	return errors.Join(problems...)
}
