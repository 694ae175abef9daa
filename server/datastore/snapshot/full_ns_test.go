//go:build namespace

package snapshot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted is a small file system of size MiB, which the calling goroutine alone
// sees.
func mounted(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is needed to mount a tmpfs")
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace of its own: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

// small makes a server whose snapshots are on a file system of size MiB and whose
// database has pages of content that no compression makes smaller.
func small(t *testing.T, size, pages int) *server {
	t.Helper()
	dir := mounted(t, size)
	s := newServer(t, func(c *Config) { c.Dir = filepath.Join(dir, "snapshots") })
	s.db.content = random(t, pages*4096)
	if err := os.WriteFile(s.cfg.Database, make([]byte, len(s.db.content)), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTooLittleSpaceIsSaidBeforeAnythingIsWritten(t *testing.T) {
	s := small(t, 39, 1280) // 5 MiB of database need 7.5 and 32 that stay free
	s.db.during = func() { t.Error("the copy was begun") }
	_, err := s.Save(t.Context(), "")
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestKeepingFewerHelpsOnAFullDisk(t *testing.T) {
	s := small(t, 54, 1280) // three of 5 MiB leave 39, and 39.5 are needed
	for range 3 {
		s.scheduledSave(t)
	}
	s.db.during = func() {}
	if _, err := s.save(t.Context(), s.cfg.Name, 3); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("there is space: %v", err)
	}
	saved, err := s.save(t.Context(), s.cfg.Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	if left := s.left(t); len(left) != 1 || left[0] != saved.Entry.File {
		t.Errorf("left %v", left)
	}
}

func TestDiskThatFillsWhileSavingIsGivenBack(t *testing.T) {
	for name, filler := range map[string]int{"while copying": 47, "while packing": 12} {
		t.Run(name, func(t *testing.T) {
			s := small(t, 50, 1280)
			other := filepath.Join(filepath.Dir(s.cfg.Dir), "other")
			s.db.during = func() {
				// Somebody else writes.
				if err := os.WriteFile(other, make([]byte, filler<<20), 0o600); err != nil {
					t.Error(err)
				}
			}
			_, err := s.Save(t.Context(), "")
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("got %v", err)
			}
			if left := s.left(t); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			s.db.during = nil
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
			s.mustSave(t, "")
		})
	}
}

func TestOthersKeepTheirPartOfTheDisk(t *testing.T) {
	// Packed it is larger than was expected, which would leave less than 32 MiB.
	s := small(t, 40, 1280)
	_, err := s.Save(t.Context(), "")
	if !errors.Is(err, unix.ENOSPC) || len(s.left(t)) > 0 {
		t.Errorf("got %v, left %v", err, s.left(t))
	}
}
