//go:build namespace

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startPause compiles the pause program and runs it as the first
// process of a PID namespace.
func startPause(t *testing.T) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a PID namespace")
	}
	program := filepath.Join(t.TempDir(), "pause")
	build := exec.Command("gcc", "-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector",
		"-o", program, "../bundle/pause/pause.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// eventually probes until ok or ten seconds are over.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-end:
			t.Fatalf("not so after 10 s: %s", what)
		case <-tick.C:
		}
	}
}

// waiting tells that the program reached its loop: Start returned after exec, and
// waiting for a signal is the only thing it sleeps in.
func waiting(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") S ")
}

func TestPauseEndsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := startPause(t)
			eventually(t, "pause waits for signals", func() bool { return waiting(cmd.Process.Pid) })
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil { // is nothing to it
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			select {
			case err := <-done:
				if err != nil {
					t.Fatalf("ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still runs 10 s after the signal")
			}
		})
	}
}

func TestPauseCollectsOrphans(t *testing.T) {
	cmd := startPause(t)
	pid := strconv.Itoa(cmd.Process.Pid)
	eventually(t, "pause waits for signals", func() bool { return waiting(cmd.Process.Pid) })
	// The inner shell ends at once and leaves two processes to pause: one that
	// ends soon and one that stays until it is killed with the namespace.
	orphan := exec.Command("nsenter", "--target", pid, "--pid", "sh", "-c",
		"(sleep 0.05 & sleep 60 &) </dev/null >/dev/null 2>&1")
	if out, err := orphan.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	children := func() []string {
		data, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(data))
	}
	eventually(t, "one orphan is collected and one runs", func() bool {
		left := children()
		if len(left) != 1 {
			return false
		}
		state, err := os.ReadFile("/proc/" + left[0] + "/stat")
		return err == nil && !strings.Contains(string(state), ") Z ")
	})
}
