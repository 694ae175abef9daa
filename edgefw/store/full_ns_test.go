//go:build namespace

package store

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/testx"
)

func TestAFullDiskLeavesTheFormerFile(t *testing.T) {
	testx.NeedRoot(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: its mounts end with the thread
		onSmallDisk(t, dir)
	}()
	<-done
}

// onSmallDisk looks at a disk of 64 KiB that only the calling thread sees.
func onSmallDisk(t *testing.T, dir string) {
	err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k")
	}
	if err != nil {
		t.Errorf("making a small disk: %v", err)
		return
	}
	file := filepath.Join(dir, "firewall.json")
	if _, err := Write(file, example()); err != nil {
		t.Errorf("on an empty disk: %v", err)
		return
	}
	if _, err := Write(file, large()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	if s, err := Read(file); err != nil || s.Revision != example().Revision {
		t.Errorf("afterwards the file is %+v, %v", s, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left on the disk: %v", names)
	}
}

// large does not fit.
func large() *State {
	s := example()
	s.Revision++
	var set model.Set
	for i := range 10_000 {
		set.Prefixes = append(set.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32))
	}
	s.Ruleset.Sets["set/large"] = set
	return s
}
