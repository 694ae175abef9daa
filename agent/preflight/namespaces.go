package preflight

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// apart calls f on a thread that has a network and a mount namespace of its own, with
// an empty /run, and that ends afterwards, so that nothing of what f made stays:
// links, rules, sets, queues and mounts go with their namespace. Programs that f
// starts are in it, too.
func apart(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is never given back: the runtime ends it with the goroutine. The
		// first thread of the process cannot end, and /proc/self is its view of the
		// host: it is held while another thread does the work.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- apart(f)
			return
		}
		done <- leave(f)
	}()
	return <-done
}

// leave takes this thread out of the host's namespaces.
func leave(f func() error) error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare network and mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// iptables keeps its lock there, which is the host's otherwise.
	_ = unix.Mount("tmpfs", "/run", "tmpfs", 0, "size=1m")
	return f()
}

// kinds are the namespaces that each pod has, besides those of [apart].
var kinds = []struct {
	flag int
	name string
}{
	{unix.CLONE_NEWPID, "PID"}, {unix.CLONE_NEWIPC, "IPC"}, {unix.CLONE_NEWUTS, "UTS"},
}

// canUnshare tries the namespaces of pods. CLONE_NEWPID counts for children alone, of
// which there are none here.
func canUnshare() error {
	return apart(func() error {
		for _, k := range kinds {
			if err := unix.Unshare(k.flag); err != nil {
				return fmt.Errorf("unshare %s namespace: %w", k.name, err)
			}
		}
		return nil
	})
}
