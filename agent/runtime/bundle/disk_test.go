package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/slots"
	"golang.org/x/sys/unix"
)

// mount mounts a tmpfs for the test.
func mount(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("kedge-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDiskIsNamedAndLeavesNoSlot(t *testing.T) {
	a, m := pack(t, append([]content{{path: "bin/big", data: strings.Repeat("x", 1<<20)}}, small...))
	dir := mount(t, "size=256k")
	_, err := a.unpack(context.Background(), dir)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free at least 2 MiB") || !strings.Contains(err.Error(), "--data-dir") {
		t.Fatalf("got %v", err)
	}
	if got := names(t, dir); got != ".lock" {
		t.Fatalf("folder holds %q", got)
	}
	// When there is room again the same call succeeds.
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT, "size=8m"))
	if s := unpack(t, a, dir); s.ID != m.ID || s.Action != Unpacked {
		t.Fatalf("got %+v", s)
	}
}

func TestReadOnlyDiskIsNamed(t *testing.T) {
	a, _ := pack(t, small)
	dir := mount(t, "size=1m")
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := a.unpack(context.Background(), filepath.Join(dir, "data"))
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "mount it writable") {
		t.Fatalf("got %v", err)
	}
}

func TestWhatADeadProcessLeftIsRemoved(t *testing.T) {
	a, m := pack(t, small)
	dir := t.TempDir()
	half := filepath.Join(dir, slots.TempPrefix+"123", "bin")
	must(t, os.MkdirAll(half, 0o755))
	must(t, os.WriteFile(filepath.Join(half, "runc"), []byte("ru"), 0o755))
	unpack(t, a, dir)
	if got, want := names(t, dir), ".lock "+m.ID+" current"; got != want {
		t.Fatalf("folder holds %q, want %q", got, want)
	}
}

func TestProcessesThatUnpackAtOnceAgree(t *testing.T) {
	a, _ := pack(t, small)
	dir := t.TempDir()
	var wg sync.WaitGroup
	actions := make(chan Action, 8)
	for range cap(actions) {
		wg.Go(func() {
			s, err := a.unpack(context.Background(), dir)
			if err != nil {
				t.Error(err)
			}
			actions <- s.Action
		})
	}
	wg.Wait()
	close(actions)
	count := map[Action]int{}
	for action := range actions {
		count[action]++
	}
	if count[Unpacked] != 1 || count[Kept] != 7 {
		t.Fatalf("actions %v", count)
	}
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	a, _ := pack(t, small)
	dir := t.TempDir()
	err := slots.Locked(context.Background(), dir, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, err := a.unpack(ctx, dir)
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process holds") {
		t.Fatalf("got %v", err)
	}
}

func TestUpgradeKeepsTheFormerSlotUntilSweep(t *testing.T) {
	former, _ := pack(t, small)
	oldest, _ := pack(t, small[:3])
	next, _ := pack(t, append([]content{{path: "bin/new", data: "new"}}, small...))
	dir := t.TempDir()
	gone, used := unpack(t, oldest, dir), unpack(t, former, dir)
	now := unpack(t, next, dir)
	foreign := filepath.Join(dir, "notes")
	must(t, os.Mkdir(foreign, 0o755))
	for _, s := range []Slot{gone, used} {
		if _, err := os.Stat(s.Bin()); err != nil {
			t.Fatalf("an older slot is gone before the sweep: %v", err)
		}
	}

	removed, err := Sweep(context.Background(), dir, func(slot string) bool { return slot == used.Dir })
	must(t, err)
	if len(removed) != 1 || removed[0] != gone.Dir {
		t.Errorf("removed %v, want %s", removed, gone.Dir)
	}
	for _, kept := range []string{used.Dir, now.Dir, foreign} {
		if _, err := os.Stat(kept); err != nil {
			t.Errorf("removed too much: %v", err)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, currentName)); err != nil || target != now.ID {
		t.Errorf("current leads to %q, %v", target, err)
	}
}

func TestSweepWithoutCurrentRemovesNothing(t *testing.T) {
	a, _ := pack(t, small)
	dir := t.TempDir()
	s := unpack(t, a, dir)
	must(t, os.Remove(filepath.Join(dir, currentName)))
	if removed, err := Sweep(context.Background(), dir, func(string) bool { return false }); err == nil || len(removed) > 0 {
		t.Fatalf("removed %v, %v", removed, err)
	}
	if _, err := os.Stat(s.Bin()); err != nil {
		t.Fatal(err)
	}
}
