package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// prefix starts the name of everything a lab leaves outside its namespaces: a cgroup in every
// hierarchy and a directory below base.
const prefix = "kedge-lab-"

// base holds the directories of all labs. It must be on a file system that can carry an overlay.
const base = "/var/tmp"

var runs atomic.Int32

// newRun names a lab after its owner: kedge-lab-<pid>-<start time of the pid>-<n>.
func newRun() (string, error) {
	start, err := startTime(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%s-%d", prefix, os.Getpid(), start, runs.Add(1)), nil
}

// ownerAlive tells whether the process that a run is named after still runs.
func ownerAlive(run string) bool {
	pid, start, ok := ownerOf(run)
	if !ok {
		return true // not one of our names: leave it alone
	}
	now, err := startTime(pid)
	return err == nil && now == start
}

// ownerOf reads what a run is named after.
func ownerOf(run string) (pid int, start string, ok bool) {
	f := strings.Split(strings.TrimPrefix(run, prefix), "-")
	pid, err := strconv.Atoi(f[0])
	if err != nil || len(f) != 3 {
		return 0, "", false
	}
	return pid, f[1], true
}

// startTime is the start of a process in clock ticks since boot (proc(5), stat field 22).
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The command name may hold anything, but it ends with the last parenthesis.
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(f) < 20 || f[0] == "Z" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return f[19], nil
}

// Sweep removes what labs of dead owners left behind. Up calls it.
func Sweep() error {
	found := map[string]bool{}
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range append([]string{base}, mounts(trees)...) {
		names, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
		for _, n := range names {
			found[filepath.Base(n)] = true
		}
	}
	var problems []error
	for run := range found {
		if !ownerAlive(run) {
			problems = append(problems, removeRun(run))
		}
	}
	return errors.Join(problems...)
}

func mounts(trees []hierarchy) []string {
	var dirs []string
	for _, h := range trees {
		dirs = append(dirs, h.mount)
	}
	return dirs
}

// removeRun ends every process of a run and removes its cgroups and its directory. It may run
// twice at once and needs no state but the name.
func removeRun(run string) error {
	if err := endProcesses(run, 60*time.Second); err != nil {
		return err
	}
	var problems []error
	for _, dir := range cgroupsNamed(run) {
		problems = append(problems, removeCgroup(dir))
	}
	dir := filepath.Join(base, run)
	// A plain directory: the mounts on it were in namespaces that ended with the processes.
	problems = append(problems, os.RemoveAll(dir))
	return errors.Join(problems...)
}

// endProcesses kills the members of the run's cgroups until there are none. The deadline covers
// processes that are busy in the kernel, for example with writing out a file.
//
// The owner itself may be among them for a moment: the thread that it started a program with ends
// by itself and may not have got to it on a busy machine. It is waited for and not killed.
func endProcesses(run string, patience time.Duration) error {
	spare := 0
	if pid, _, ok := ownerOf(run); ok && ownerAlive(run) {
		spare = pid
	}
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		alive := map[int]bool{}
		for _, dir := range cgroupsNamed(run) {
			for _, pid := range members(dir) {
				alive[pid] = true
			}
		}
		if len(alive) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of %s do not end: %v", run, alive)
		}
		for pid := range alive {
			if pid != spare && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		<-tick.C
	}
}
