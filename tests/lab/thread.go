package lab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs fn on an operating-system thread of its own that ends with it, so fn may
// change the thread's namespaces and cgroups. The main thread is never used: its state is
// what /proc/self shows.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onThread(fn)
			return
		}
		// No unlock: the runtime ends a thread whose goroutine ended locked.
		done <- fn()
	}()
	return <-done
}

// newNetns makes a network namespace that lives as long as the returned file is open or a
// process or device link uses it.
func newNetns() (*os.File, error) {
	var f *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare network namespace: %w", err)
		}
		var err error
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return f, err
}

// inNetns runs fn on a thread whose network namespace is ns.
func inNetns(ns *os.File, fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return fn()
	})
}

// startIn starts cmd in all namespaces of the process behind pidfd and in the cgroup set cg.
// Joining happens before the fork, so the child never runs anywhere else.
func startIn(pidfd int, cg cgroupSet, cmd *exec.Cmd) error {
	return onThread(func() error {
		release, err := cg.adoptThread(cmd)
		if err != nil {
			return err
		}
		defer release()
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare file-system state: %w", err)
		}
		const all = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWPID
		if err := unix.Setns(pidfd, all); err != nil {
			return fmt.Errorf("enter namespaces: %w", err)
		}
		return cmd.Start()
	})
}
