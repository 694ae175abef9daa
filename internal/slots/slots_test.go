package slots

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const id, other = "00000000000000aa", "00000000000000bb"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// write is a filler that puts one file into the slot.
func write(content string) func(string) error {
	return func(folder string) error {
		return os.WriteFile(filepath.Join(folder, "file"), []byte(content), 0o600)
	}
}

func TestFillReplacesASlotAsAWhole(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"one", "two"} {
		must(t, Fill(dir, id, write(content)))
		got, err := os.ReadFile(filepath.Join(dir, id, "file"))
		if err != nil || string(got) != content || names(t, dir) != id {
			t.Errorf("slot has %q, %v; the folder %q", got, err, names(t, dir))
		}
	}
	st, err := os.Stat(filepath.Join(dir, id))
	must(t, err)
	if st.Mode().Perm() != 0o755 {
		t.Errorf("others cannot enter the slot: %v", st.Mode())
	}
}

func TestFailedFillLeavesTheFormerSlot(t *testing.T) {
	dir := t.TempDir()
	must(t, Fill(dir, id, write("one")))
	want := errors.New("disk full")
	if err := Fill(dir, id, func(string) error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	if names(t, dir) != id || names(t, filepath.Join(dir, id)) != "file" {
		t.Errorf("the folder has %q", names(t, dir))
	}
}

// Some file systems of edge devices have no exchange of two names.
func TestSwapDoesWithoutExchange(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	must(t, os.Mkdir(from, 0o755))
	must(t, swap(from, to))
	if names(t, dir) != "to" {
		t.Errorf("the folder has %q", names(t, dir))
	}
	must(t, os.WriteFile(filepath.Join(to, "old"), nil, 0o600))
	must(t, os.Mkdir(from, 0o755))
	must(t, swap(from, to))
	if names(t, dir) != "from to" || names(t, to) != "" || names(t, from) != "old" {
		t.Errorf("the folder has %q", names(t, dir))
	}
}

func TestSweepRemovesOnlySlotsThatNobodyWants(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{id, other, "notes", "00000000000000AA", TempPrefix + "x"} {
		must(t, os.MkdirAll(filepath.Join(dir, name, "bin"), 0o755))
	}
	removed, err := Sweep(dir, func(slot string) bool { return filepath.Base(slot) == id })
	if err != nil || len(removed) != 1 || filepath.Base(removed[0]) != other {
		t.Errorf("removed %q, %v", removed, err)
	}
	must(t, RemoveTemporary(dir))
	if got, want := names(t, dir), "00000000000000AA "+id+" notes"; got != want {
		t.Errorf("the folder has %q, want %q", got, want)
	}
}

func TestProgramsThatRunAreFoundBehindLinks(t *testing.T) {
	target := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(target, link))
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("missing: the program sleep")
	}
	program, err := os.ReadFile(sleep)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(link, id, "bin"), 0o755))
	path := filepath.Join(link, id, "bin", "sleep")
	must(t, os.WriteFile(path, program, 0o755))
	cmd := exec.CommandContext(t.Context(), path, "600")
	must(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	must(t, os.Remove(path)) // an upgrade may have taken the file away
	programs, err := Running("/proc")
	if err != nil || !programs.In(filepath.Join(link, id)) || programs.In(filepath.Join(link, other)) {
		t.Errorf("%d programs, %v", len(programs), err)
	}
}

func TestLockIsWaitedForUntilTheContextEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	err := Locked(context.Background(), dir, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		return Locked(ctx, dir, func() error { return errors.New("entered twice") })
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), LockName) {
		t.Errorf("got %v", err)
	}
}

func TestRemedyNamesWhatToDo(t *testing.T) {
	for want, err := range map[string]error{
		"free at least 2 MiB": &os.PathError{Err: syscall.ENOSPC}, "mount it writable": syscall.EROFS, "as root": os.ErrPermission,
	} {
		if got := Remedy(err, 1<<20); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("got %v, want %q", got, want)
		}
	}
	if plain := errors.New("else"); Remedy(plain, 1) != plain { //nolint:errorlint // the same value is meant
		t.Error("changed an error without a remedy")
	}
}
