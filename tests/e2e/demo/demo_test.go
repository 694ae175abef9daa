// Package demo runs what make demo runs.
package demo

import (
	"bufio"
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
	before := leftovers(t)

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
	if after := leftovers(t); after != before {
		t.Errorf("left behind:\nbefore %s\nafter  %s", before, after)
	}
}

// leftovers lists what a laboratory makes outside of its own namespaces.
func leftovers(t *testing.T) string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/kedge-lab-*", "/sys/fs/cgroup/*/kedge-lab-*", "/run/netns/kedge-lab-*"} {
		match, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, match...)
	}
	return strings.Join(found, " ")
}
