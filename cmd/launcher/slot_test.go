package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func decode(r io.Reader, v any) error { return json.NewDecoder(r).Decode(v) }

func TestChangedProgramIsNeverStarted(t *testing.T) {
	for name, damage := range map[string]func(s slot) error{
		"other bytes of the same length": func(s slot) error {
			data := try(os.ReadFile(s.program()))
			data[len(data)-1] ^= 1
			must(t, os.Remove(s.program()))
			return os.WriteFile(s.program(), data, 0o755)
		},
		"shorter":             func(s slot) error { return os.Truncate(s.program(), 10) },
		"other mode":          func(s slot) error { return os.Chmod(s.program(), 0o777) },
		"link":                func(s slot) error { must(t, os.Remove(s.program())); return os.Symlink("/bin/true", s.program()) },
		"gone":                func(s slot) error { return os.Remove(s.program()) },
		"folder gone":         func(s slot) error { return os.RemoveAll(s.dir()) },
		"a file in its place": func(s slot) error { must(t, os.RemoveAll(s.dir())); return os.WriteFile(s.dir(), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "one")
			h.good()
			must(t, damage(h.slot()))
			if r := h.good(); r.Path != h.slot().program() {
				t.Errorf("started %s", r.Path)
			}
			if err := h.slot().verified(); err != nil {
				t.Error(err)
			}
			if got, want := names(h.data), ".lock "+h.slot().want.ID(); got != want {
				t.Errorf("the folder of slots holds %q, want %q", got, want)
			}
		})
	}
}

func TestProgramOfAnotherUserIsNotStartedByRoot(t *testing.T) {
	needRoot(t)
	h := newHost(t, "one")
	h.good()
	must(t, os.Chown(h.slot().program(), nobody, nobody))
	_, stderr, err := h.start()
	if err != nil || !strings.Contains(stderr, "belongs to another user: unpacked again") {
		t.Errorf("%v: %s", err, stderr)
	}
	if err := h.slot().ready(); err != nil {
		t.Error(err)
	}
}

func TestOthersReachTheProgramWhateverTheUmask(t *testing.T) {
	h := newHost(t, "one")
	former := unix.Umask(0o077)
	defer unix.Umask(former)
	h.good()
	for _, path := range []string{h.slot().dir(), filepath.Dir(h.slot().program()), h.slot().program()} {
		if st := try(os.Stat(path)); st.Mode().Perm() != 0o755 {
			t.Errorf("%s has the mode %v", path, st.Mode())
		}
	}
}

func TestSlotFromABackupIsVerifiedOnceAndKept(t *testing.T) {
	h := newHost(t, "one")
	h.good()
	before := try(os.Stat(h.slot().program()))
	must(t, os.Chtimes(h.slot().program(), time.Unix(0, 0), time.Unix(0, 0)))
	if h.slot().ready() == nil {
		t.Fatal("the marker fits a file that was changed")
	}
	h.good()
	if after := try(os.Stat(h.slot().program())); !os.SameFile(before, after) || h.slot().ready() != nil {
		t.Error("the right program was replaced or not marked")
	}
}

func TestUpgradeKeepsWhatRunsAndRemovesWhatDoesNot(t *testing.T) {
	h := newHost(t, own)
	first := h.slot()
	running := h.command("stay")
	stdin, err := running.StdinPipe()
	must(t, err)
	out, err := running.StdoutPipe()
	must(t, err)
	must(t, running.Start())
	var r report
	must(t, decode(out, &r))
	bundle := filepath.Join(h.data, "00000000000000aa", "bin")
	must(t, os.MkdirAll(bundle, 0o755))
	must(t, os.WriteFile(filepath.Join(bundle, "runc"), nil, 0o755))

	second := h.install("two", first.want.Arch)
	if r := h.good(); r.Path != second.program() {
		t.Errorf("after the upgrade %s was started", r.Path)
	}
	if first.ready() != nil || second.ready() != nil {
		t.Errorf("the folder of slots holds %q while the first program runs", names(h.data))
	}
	must(t, stdin.Close())
	must(t, running.Wait())
	third := h.install("three", first.want.Arch)
	h.good()
	if got := names(h.data); strings.Contains(got, first.want.ID()) || strings.Contains(got, second.want.ID()) ||
		!strings.Contains(got, third.want.ID()) || !strings.Contains(got, "00000000000000aa") {
		t.Errorf("the folder of slots holds %q once nothing old runs", got)
	}
}

func TestProgramOfARunningDaemonIsUsedFromElsewhere(t *testing.T) {
	h := newHost(t, own)
	daemon := h.command("stay")
	stdin, err := daemon.StdinPipe()
	must(t, err)
	out, err := daemon.StdoutPipe()
	must(t, err)
	must(t, daemon.Start())
	var r report
	must(t, decode(out, &r))
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	h.env = append(h.env, "KEDGE_DATA_DIR="+elsewhere)
	if now := h.good(); now.Path != r.Path {
		t.Errorf("started %s beside a daemon from %s", now.Path, r.Path)
	}
	must(t, os.Chmod(filepath.Dir(r.Path), 0o777))
	if now := h.good(); !strings.HasPrefix(now.Path, elsewhere) {
		t.Errorf("started %s, which everybody can exchange", now.Path)
	}
	must(t, os.RemoveAll(elsewhere))
	must(t, stdin.Close())
	must(t, daemon.Wait())
	if now := h.good(); !strings.HasPrefix(now.Path, elsewhere) {
		t.Errorf("started %s without a daemon", now.Path)
	}
}

func TestOnlyProcessesOfTheSameUserAreFollowed(t *testing.T) {
	proc, id := t.TempDir(), "00000000000000aa"
	for pid, exe := range map[string]string{"1": "/x/data/" + id + "/bin/kedge", "2": "/y/data/00000000000000bb/bin/kedge", "3": "/bin/sh"} {
		must(t, os.Mkdir(filepath.Join(proc, pid), 0o755))
		must(t, os.Symlink(exe, filepath.Join(proc, pid, "exe")))
	}
	if got := runningFrom(proc, id, os.Geteuid()); len(got) != 1 || got[0] != "/x/data" {
		t.Errorf("found %q", got)
	}
	if got := runningFrom(proc, id, os.Geteuid()+1); len(got) != 0 {
		t.Errorf("another user finds %q", got)
	}
}

func TestFoldersThatOthersCanChangeAreNotFollowed(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o755))
	link := dir + ".link"
	must(t, os.Symlink(dir, link))
	if !guarded(dir, 0) || guarded(link, 0) || guarded(dir+"/none", 0) {
		t.Errorf("guarded: %v, by a link %v, what is not there %v", guarded(dir, 0), guarded(link, 0), guarded(dir+"/none", 0))
	}
	for _, mode := range []os.FileMode{0o775, 0o757} {
		must(t, os.Chmod(filepath.Dir(dir), mode))
		if guarded(dir, 0) {
			t.Errorf("below a folder with the mode %v", mode)
		}
	}
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chown(filepath.Dir(dir), nobody, nobody))
	if guarded(dir, 0) || !guarded(dir, nobody) {
		t.Errorf("below a folder of another user: %v; of one's own: %v", guarded(dir, 0), guarded(dir, nobody))
	}
}

// mount gives the host's data directory a file system of its own.
func (h *host) mount(flags uintptr, options string) {
	h.t.Helper()
	needRoot(h.t)
	must(h.t, os.MkdirAll(h.dataDir, 0o755))
	if err := unix.Mount("kedge-test", h.dataDir, "tmpfs", flags, options); err != nil {
		h.t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	h.t.Cleanup(func() { _ = unix.Unmount(h.dataDir, unix.MNT_DETACH) })
}

func TestFullDiskIsNamedAndRoomMendsIt(t *testing.T) {
	h := newHost(t, large)
	h.mount(0, "size=1m")
	h.bad("unpack into "+h.data, "no space left on device", "free at least", "--data-dir")
	must(t, unix.Mount("", h.dataDir, "", unix.MS_REMOUNT, "size=200m"))
	h.good()
}

func TestReadOnlyDiskIsNamed(t *testing.T) {
	h := newHost(t, "one")
	h.mount(0, "size=200m")
	must(t, unix.Mount("", h.dataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	h.bad("read-only file system", "mount it writable", "--data-dir")
}

func TestDiskThatStartsNoProgramsIsNamedBeforeItIsWritten(t *testing.T) {
	h := newHost(t, "one")
	h.mount(unix.MS_NOEXEC, "size=200m")
	h.bad(h.data, "noexec", "--data-dir")
	must(t, unix.Mount("", h.dataDir, "", unix.MS_REMOUNT, "size=200m"))
	h.good()
	// Programs that were started before somebody tightened the mount.
	must(t, unix.Mount("", h.dataDir, "", unix.MS_REMOUNT|unix.MS_NOEXEC, ""))
	if _, stderr, err := h.start(); err == nil || !strings.Contains(stderr, "noexec") {
		t.Errorf("%v: %s", err, stderr)
	}
}

func TestDamagedReleaseFileIsNamed(t *testing.T) {
	h := newHost(t, "one")
	spoil(t, h.release)
	h.bad("damaged", "fetch it again", "sha256sums.txt")
	h.install("one", "amd64")
	must(t, os.Truncate(h.release, try(os.Stat(h.release)).Size()-1))
	h.bad(h.release, "ends without its payload", "fetch it again")
	h.install("one", h.slotArch())
	h.good()
}

func (h *host) slotArch() string { return newHost(h.t, "").slot().want.Arch }

func TestProgramForAnotherArchitectureIsRefused(t *testing.T) {
	h := newHost(t, "one")
	h.install("one", "riscv64")
	h.bad("riscv64", "fetch kedge-linux-")
}
