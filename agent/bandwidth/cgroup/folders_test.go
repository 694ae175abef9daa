//go:build namespace

package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/testx"
)

// bed is a node that shares the host's hierarchies, below folders of the test.
type bed struct {
	t   *testing.T
	cfg Config
	// legacy is a v1 hierarchy, unified the cgroup2 one.
	legacy, unified string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	testx.NeedRoot(t)
	b := &bed{t: t, cfg: Config{Root: fmt.Sprintf("/kedge-cgroup-test-%d", os.Getpid()), Name: "kedge"}}
	mounts, err := legacyMounts()
	if err != nil {
		t.Fatal(err)
	}
	b.legacy = mounts["pids"]
	h, err := open()
	if err != nil {
		testx.Missing(t, "cgroup2")
	}
	t.Cleanup(h.close)
	b.unified = h.top
	t.Cleanup(func() {
		for _, top := range []string{b.legacy, b.unified} {
			if top == "" {
				continue
			}
			dir := filepath.Join(top, b.cfg.Root)
			for _, pid := range processes(dir) {
				_ = move(top, pid)
			}
			if err := removed(dir); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

// removed waits for processes that are ending.
func removed(dir string) error { return unlessBusy(func() error { return removeTree(dir) }) }

// unlessBusy repeats what fails because a process has not quite ended: the
// kernel holds a folder for a moment after its last one was reaped.
func unlessBusy(f func() error) error {
	deadline, tick := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-deadline:
			return err
		case <-tick.C:
		}
	}
}

func (b *bed) needLegacy() {
	b.t.Helper()
	if b.legacy == "" {
		testx.Missing(b.t, "a cgroup v1 hierarchy with the controller pids")
	}
}

func (b *bed) folders() *Folders { return New(b.cfg, slog.New(slog.DiscardHandler)) }

// id is a container's.
func id(n int) string { return strings.Repeat(fmt.Sprintf("%x", n%16), 64) }

// proc is a shell that runs what is told to it.
type proc struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
	stop func()
}

func start(t *testing.T) *proc {
	t.Helper()
	p := &proc{t: t, cmd: exec.Command("/bin/sh")}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stop = func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
	t.Cleanup(p.stop)
	return p
}

// child starts a process in the shell and returns its pid.
func (p *proc) child() int {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "sleep 1000 >/dev/null & echo $!\n"); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	return pid
}

// put moves a process into a folder that is made for it.
func (b *bed) put(top, path string, pid int) string {
	b.t.Helper()
	dir := filepath.Join(top, b.cfg.Root, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := move(dir, pid); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

func inode(t *testing.T, dir string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// inFolder tells whether the process is in that cgroup2 folder.
func inFolder(t *testing.T, pid int, path string) bool {
	t.Helper()
	m, err := membershipOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	return m[""] == path
}

func TestAContainerThatHasACgroup2FolderKeepsIt(t *testing.T) {
	b := newBed(t)
	p := start(t)
	dir := b.put(b.unified, "kubepods/pod1/"+id(1), p.cmd.Process.Pid)
	inner := b.put(b.unified, "kubepods/pod1/"+id(1)+"/init.scope", p.cmd.Process.Pid)
	got, err := b.folders().Identify(t.Context(), Container{ID: id(1), Pid: p.cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	if got != inode(t, dir) {
		t.Errorf("identity %d, the folder has %d and the one inside %d", got, inode(t, dir), inode(t, inner))
	}
	if _, err := os.Stat(filepath.Join(b.unified, b.cfg.parent())); err == nil {
		t.Error("a folder was made although the container has one")
	}
	byPath, err := Identity(b.cfg.Root + "/kubepods/pod1/" + id(1))
	if err != nil || byPath != got {
		t.Errorf("identity by path: %d, %v, want %d", byPath, err, got)
	}
}

func TestALegacyContainerIsMirroredWithAllItsProcesses(t *testing.T) {
	b := newBed(t)
	b.needLegacy()
	p := start(t)
	before := p.child() // not moved with its parent
	pid := p.cmd.Process.Pid
	b.put(b.legacy, "kubepods/pod1/"+id(2), pid)
	b.put(b.legacy, "kubepods/pod1/"+id(2)+"/inner", before)

	f := b.folders()
	got, err := f.Identify(t.Context(), Container{ID: id(2), Pid: pid})
	if err != nil {
		t.Fatal(err)
	}
	mirror := b.cfg.parent() + "/" + id(2)
	after := p.child()
	for what, member := range map[string]int{"first process": pid, "earlier child": before, "later child": after} {
		if !inFolder(t, member, mirror) {
			t.Errorf("%s is not in %s", what, mirror)
		}
	}
	if got != inode(t, filepath.Join(b.unified, mirror)) {
		t.Error("the identity is not that of the folder")
	}

	// A process that was added, as by kubectl exec, while the daemon was away.
	other := start(t)
	b.put(b.legacy, "kubepods/pod1/"+id(2), other.cmd.Process.Pid)
	again, err := b.folders().Identify(t.Context(), Container{ID: id(2), Pid: pid})
	if err != nil || again != got {
		t.Errorf("identity after a restart: %d, %v, want %d", again, err, got)
	}
	if !inFolder(t, other.cmd.Process.Pid, mirror) {
		t.Error("a process that was added before the restart is not brought in")
	}
	third := start(t)
	b.put(b.legacy, "kubepods/pod1/"+id(2), third.cmd.Process.Pid)
	if err := f.Gather(t.Context(), Container{ID: id(2), Pid: third.cmd.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	if !inFolder(t, third.cmd.Process.Pid, mirror) {
		t.Error("a process that was added is not brought in")
	}
}

func TestFoldersGoWithTheirContainersAndForeignOnesStay(t *testing.T) {
	b := newBed(t)
	b.needLegacy()
	f := b.folders()
	procs := map[int]*proc{}
	for n := 3; n <= 5; n++ {
		procs[n] = start(t)
		b.put(b.legacy, "kubepods/"+id(n), procs[n].cmd.Process.Pid)
		if _, err := f.Identify(t.Context(), Container{ID: id(n), Pid: procs[n].cmd.Process.Pid}); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(b.unified, b.cfg.parent(), "somebody")
	if err := os.Mkdir(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	procs[3].stop()
	procs[4].stop()
	if err := unlessBusy(func() error { return f.Drop(id(3)) }); err != nil {
		t.Error(err)
	}
	if err := f.Keep([]string{id(4)}); err != nil { // 5 is not kept, but runs
		t.Error(err)
	}
	b.wantLeft(t, id(4), id(5), "somebody")
	if err := unlessBusy(func() error { return sweepAll(f, id(4)) }); err != nil {
		t.Error(err)
	}
	b.wantLeft(t, id(5), "somebody")
	if err := Remove(context.Background(), b.cfg); err != nil {
		t.Error(err)
	}
	b.wantLeft(t, "somebody")
	if inFolder(t, procs[5].cmd.Process.Pid, b.cfg.parent()+"/"+id(5)) {
		t.Error("a process stayed in a removed folder")
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	if err := Remove(context.Background(), b.cfg); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(b.unified, b.cfg.parent())); err == nil {
		t.Error("our own folder is left")
	}
	if err := Remove(context.Background(), b.cfg); err != nil {
		t.Errorf("nothing to remove: %v", err)
	}
}

// sweepAll keeps nothing, and says that it is busy while that folder is there.
func sweepAll(f *Folders, id string) error {
	if err := f.Keep(nil); err != nil {
		return err
	}
	if _, err := os.Stat(f.h.folder(filepath.Join(f.cfg.parent(), id))); err == nil {
		return unix.EBUSY
	}
	return nil
}

func (b *bed) wantLeft(t *testing.T, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.unified, b.cfg.parent()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.IsDir() {
			got = append(got, e.Name())
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("folders %v, want %v", got, want)
	}
}

func TestAProcessWithoutAFolderOfItsContainerIsAnError(t *testing.T) {
	b := newBed(t)
	p := start(t)
	if _, err := b.folders().Identify(t.Context(), Container{ID: id(6), Pid: p.cmd.Process.Pid}); err == nil {
		t.Error("a process in the root folder was taken for a container")
	}
	p.stop()
	if _, err := b.folders().Identify(t.Context(), Container{ID: id(6), Pid: p.cmd.Process.Pid}); err == nil {
		t.Error("a process that is gone was taken for a container")
	}
	if err := b.folders().Gather(t.Context(), Container{ID: id(6), Pid: p.cmd.Process.Pid}); err != nil {
		t.Errorf("a process that ended at once is no trouble: %v", err)
	}
}

// A host with cgroup v1 alone has no place for the hierarchy.
func TestAMountThatNobodySeesShowsTheSameHierarchy(t *testing.T) {
	b := newBed(t)
	// The flags of a mount are those of the hierarchy: keep what the host has.
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		t.Fatal(err)
	}
	flags := ""
	for _, m := range mounts {
		flags = m.VFSOptions
	}
	h, err := detached(flags)
	if err != nil {
		t.Fatal(err)
	}
	const inside = "/seen"
	if err := os.MkdirAll(h.folder(b.cfg.Root+inside), 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t)
	if err := move(h.folder(b.cfg.Root+inside), p.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	first, err := h.identity(b.cfg.Root + inside)
	if err != nil {
		t.Fatal(err)
	}
	h.close()
	if !inFolder(t, p.cmd.Process.Pid, b.cfg.Root+inside) {
		t.Error("the folder went with the mount")
	}
	if again := inode(t, filepath.Join(b.unified, b.cfg.Root, inside)); again != first {
		t.Errorf("identity %d, afterwards %d", first, again)
	}
	now, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil || len(now) != len(mounts) {
		t.Errorf("mounts of cgroup2: %d before, %d after, %v", len(mounts), len(now), err)
	}
}
