package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	killRounds = 5 // a program may fork between look and kill
	killWait   = 5 * time.Second

	// runcDefaultRoot is the shim's default (pkg/process of the runc shim).
	runcDefaultRoot = "/run/containerd/runc"
)

// isShim tells by the facts, not by the name: the program lies in a slot of
// our bundle, and it was told our socket.
func isShim(exe string, args []string, slots, socket string) bool {
	rel, err := filepath.Rel(slots, exe)
	if err != nil || strings.HasPrefix(rel, "..") {
		return false
	}
	parts := strings.Split(rel, string(filepath.Separator))
	if len(parts) != 3 || parts[1] != "bin" {
		return false
	}
	return after(args, "-address") == socket
}

// killAll ends shims, everything below them and what is left in the cgroups of
// our pods, until nothing is found any more.
func (r *reset) killAll(ctx context.Context) {
	for range killRounds {
		targets := r.targets()
		if len(targets) == 0 {
			return
		}
		var held []*process
		for pid, start := range targets {
			if p, err := hold(r.proc, pid, start); err == nil {
				held = append(held, p)
			}
		}
		waiting, cancel := context.WithTimeout(ctx, killWait)
		for _, p := range held {
			_ = p.signal(unix.SIGKILL)
		}
		for _, p := range held {
			_ = p.wait(waiting)
			p.close()
		}
		cancel()
	}
	for pid := range r.targets() {
		r.left("process", fmt.Sprint(pid), errors.New("still running after being killed"))
	}
}

// targets returns pid and start time of each process that is to end.
func (r *reset) targets() map[int]uint64 {
	stats, children := r.tree()
	slots, err := filepath.EvalSymlinks(r.cfg.Layout.Data())
	if err != nil {
		slots = r.cfg.Layout.Data()
	}
	own := r.proc.mountNS("self")
	out := map[int]uint64{}
	for pid := range stats {
		if !isShim(r.proc.exe(pid), r.proc.cmdline(pid), slots, r.cfg.Layout.ContainerdSocket()) {
			continue
		}
		if r.proc.mountNS(fmt.Sprint(pid)) != own {
			continue
		}
		out[pid] = stats[pid].Start
		r.noteRuncState(r.proc.cmdline(pid))
		r.noteBelow(pid, children, stats, out)
	}
	for _, pid := range r.podProcesses() {
		if st, ok := stats[pid]; ok {
			out[pid] = st.Start
		}
	}
	return out
}

// noteRuncState remembers where runc keeps a container that was made without
// our runtime options, as ctr does: in runc's default folder, by namespace and
// id. It is not ours alone, but the id in it is: runc refuses to use one twice.
func (r *reset) noteRuncState(args []string) {
	ns, id := after(args, "-namespace"), after(args, "-id")
	if ns == "" || id == "" || strings.ContainsAny(ns+id, "/") {
		return
	}
	if dir := filepath.Join(runcDefaultRoot, ns, id); exists(dir) && !slices.Contains(r.runcStates, dir) {
		r.runcStates = append(r.runcStates, dir)
	}
}

// removeRuncStates removes what noteRuncState found, and folders that are
// empty then.
func (r *reset) removeRuncStates() {
	for _, dir := range r.runcStates {
		if err := os.RemoveAll(dir); err != nil {
			r.left("folder", dir, err)
		}
		for p := filepath.Dir(dir); p != "/run"; p = filepath.Dir(p) {
			if os.Remove(p) != nil {
				break
			}
		}
	}
}

// after returns the argument that follows name.
func after(args []string, name string) string {
	i := slices.Index(args, name)
	if i < 0 || i+1 >= len(args) {
		return ""
	}
	return args[i+1]
}

// tree reads all live processes once.
func (r *reset) tree() (map[int]procStat, map[int][]int) {
	stats, children := map[int]procStat{}, map[int][]int{}
	pids, err := r.proc.pids()
	if err != nil {
		return stats, children
	}
	for _, pid := range pids {
		st, err := r.proc.stat(pid)
		if err != nil || st.State == 'Z' || st.State == 'X' {
			continue
		}
		stats[pid] = st
		children[st.PPID] = append(children[st.PPID], pid)
	}
	return stats, children
}

// noteBelow adds all descendants of a shim and where their cgroups are.
func (r *reset) noteBelow(shim int, children map[int][]int, stats map[int]procStat, out map[int]uint64) {
	home := r.proc.cgroups(shim)
	todo := slices.Clone(children[shim])
	for len(todo) > 0 {
		pid := todo[0]
		todo = append(todo[1:], children[pid]...)
		out[pid] = stats[pid].Start
		for hierarchy, path := range r.proc.cgroups(pid) {
			if path != home[hierarchy] {
				r.noteCgroup(cgroupRef{hierarchy, path})
			}
		}
	}
}
