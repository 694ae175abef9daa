package runtime

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	killRounds = 5 // a program may fork between look and kill
	killWait   = 5 * time.Second
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
	i := slices.Index(args, "-address")
	return i > 0 && i+1 < len(args) && args[i+1] == socket
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
		r.noteBelow(pid, children, stats, out)
	}
	for _, pid := range r.podProcesses() {
		if st, ok := stats[pid]; ok {
			out[pid] = st.Start
		}
	}
	return out
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
