package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/testx"
)

func TestNetworkStaysWhileAnotherKedgeRuns(t *testing.T) {
	run := t.TempDir()
	own, other := paths.Layout{RunDir: filepath.Join(run, "kedge")}, paths.Layout{RunDir: filepath.Join(run, "kedge-0a1b2c3d")}
	listen := func(path string) net.Listener {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	expect := func(when string, want ...string) {
		t.Helper()
		removed := false
		others, err := removeUnlessShared(t.Context(), own, func(context.Context) error { removed = true; return nil })
		if err != nil || !slices.Equal(others, want) || removed != (want == nil) {
			t.Errorf("%s: others %v, removed %v, %v", when, others, removed, err)
		}
	}
	_ = listen(own.StatusSocket())
	expect("alone")
	daemon := listen(other.StatusSocket())
	expect("beside a daemon", other.RunDir)
	_ = daemon.Close()
	expect("beside a socket that a killed daemon left")
	_ = listen(other.ContainerdSocket())
	expect("beside pods whose daemon is stopped", other.RunDir)
}

func TestAnotherNetworkNamespaceIsAnotherHost(t *testing.T) {
	testx.NeedRoot(t)
	if !sharesNetwork(os.Getpid()) || !sharesNetwork(0) {
		t.Error("this process is elsewhere")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-n", "sh", "-c", "echo; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = in.Close(), cmd.Wait() }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if sharesNetwork(cmd.Process.Pid) {
		t.Error("a process of another network namespace shares this one")
	}
}
