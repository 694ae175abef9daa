package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// pause lets the kernel finish what it does in the background.
func pause() { <-time.After(10 * time.Millisecond) }

// errMounted protects what is mounted: a volume's content is not ours.
var errMounted = errors.New("something is still mounted below it: unmount it and run reset again")

// mountsBelow lists mount points in or below dir, longest first, a mount that
// covers another before it.
func mountsBelow(dir string) ([]string, error) {
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		dir = target
	}
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return i.Mountpoint != dir && !strings.HasPrefix(i.Mountpoint, dir+"/"), false
	})
	if err != nil {
		return nil, fmt.Errorf("list mounts below %s: %w", dir, err)
	}
	var out []string
	for _, i := range infos {
		out = append(out, i.Mountpoint)
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out, nil
}

// Unmount unmounts everything below dir (not dir itself): by name first, and
// detached from the tree where something still uses it.
func Unmount(dir string) []Leftover {
	points, err := mountsBelow(dir)
	if err != nil {
		return []Leftover{{What: "mount", Where: dir, Err: err}}
	}
	var out []Leftover
	for _, p := range points {
		if p == filepath.Clean(dir) {
			continue
		}
		err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW)
		if err != nil {
			err = unix.Unmount(p, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			out = append(out, Leftover{What: "mount", Where: p, Err: err})
		}
	}
	return out
}

func (r *reset) unmountAll() {
	for _, dir := range []string{r.cfg.Layout.RunDir, r.cfg.Layout.DataDir} {
		r.leftovers = append(r.leftovers, Unmount(dir)...)
	}
}

// RemoveTree deletes dir and everything in it, but nothing at all while
// something is mounted below it: that could be the content of a volume.
func RemoveTree(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(points, func(p string) bool { return p != filepath.Clean(dir) }) {
		return fmt.Errorf("remove %s: %w", dir, errMounted)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

func (r *reset) removeTree(dir string) {
	if err := RemoveTree(dir); err != nil {
		r.left("folder", dir, err)
	}
}

// removeLogs removes the logs of our pods, whose folders end with the pod's
// uid, and the links to them.
func (r *reset) removeLogs() {
	pods := r.cfg.Layout.PodLogs()
	if pods == "/var/log/pods" {
		pods = filepath.Join(r.cfg.LogRoot, "pods")
	}
	entries, _ := os.ReadDir(pods)
	for _, e := range entries {
		_, uid, ok := cutLast(e.Name(), "_")
		if !ok || !r.uids[uid] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(pods, e.Name())); err != nil {
			r.left("log", filepath.Join(pods, e.Name()), err)
		}
	}
	links := filepath.Join(r.cfg.LogRoot, "containers")
	entries, _ = os.ReadDir(links)
	for _, e := range entries {
		link := filepath.Join(links, e.Name())
		target, err := os.Readlink(link)
		rel, ok := strings.CutPrefix(target, pods+"/")
		pod, _, _ := strings.Cut(rel, "/")
		_, uid, _ := cutLast(pod, "_")
		if err != nil || !ok || !r.uids[uid] {
			continue
		}
		if err := os.Remove(link); err != nil {
			r.left("log", link, err)
		}
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
