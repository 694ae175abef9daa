// Package demo runs what make demo runs.
package demo

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestDemoReachesItsApplicationAndLeavesNothing(t *testing.T) {
	testx.NeedRoot(t)
	kedge := cluster.Binary(t)
	root, err := testx.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "demo")
	build := exec.Command("go", "build", "-o", program, "./tests/lab/cmd/demo")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-kedge", kedge, "-out", t.TempDir())
	cmd.Dir, cmd.Stderr = root, os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(8*time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer watchdog.Stop()
	var text strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		t.Log(lines.Text())
		if strings.Contains(lines.Text(), "Ctrl-C removes everything") {
			if outside(t, cmd.Process.Pid) == "" {
				t.Error("the demo has nothing of its own on this machine, so that nothing can be left")
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("demo: %v", err)
	}
	for _, want := range []string{"by ClusterIP", "by NodePort", "by DNS name", "Ready", "kedge token create"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the demo did not print %q", want)
		}
	}
	if left := outside(t, cmd.Process.Pid); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// outside lists what the laboratory of a process makes outside of its own namespaces.
// Others have theirs at the same time.
func outside(t *testing.T, pid int) string {
	t.Helper()
	lab := fmt.Sprintf("kedge-lab-%d-*", pid)
	var found []string
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*", "/run/netns"} {
		pattern := filepath.Join(dir, lab)
		match, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, match...)
	}
	return strings.Join(found, " ")
}
