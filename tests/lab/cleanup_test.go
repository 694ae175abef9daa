//go:build namespace

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
)

// ownerEnv makes TestOwner, run in a child process, bring up a lab and end in that way.
const ownerEnv = "KEDGE_LAB_TEST_OWNER"

// TestOwner is the other process of TestNothingIsLeft. By itself it does nothing.
func TestOwner(t *testing.T) {
	way := os.Getenv(ownerEnv)
	if way == "" {
		return
	}
	l, err := Up(t.Context(), ServerAndEdges(2), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts() {
		// A daemon with a mount, a network namespace by name and a cgroup of its own.
		script := "exec >/dev/null 2>&1; mkdir -p /run/netns /run/m && mount -t tmpfs x /run/m && touch /run/netns/n" +
			" && unshare -n mount --bind /proc/self/ns/net /run/netns/n; setsid sleep 1000 &"
		if _, _, err := h.Run(t.Context(), "sh", "-c", script); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("\nrun", l.run, "reaper", l.reap.cmd.Process.Pid)
	if way == "panic" {
		panic("on purpose")
	}
	<-t.Context().Done()
	select {}
}

// owner starts the child and returns its lab's name once that is up.
func owner(t *testing.T, way string) (cmd *exec.Cmd, run string, reaper int) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe", "-test.run", "^TestOwner$", "-test.v", "-test.timeout", "5m")
	cmd.Env = append(os.Environ(), ownerEnv+"="+way)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	var lines []string
	for sc.Scan() {
		lines = append(lines, sc.Text())
		if n, _ := fmt.Sscanf(sc.Text(), "run %s reaper %d", &run, &reaper); n == 2 {
			go func() {
				for sc.Scan() { //nolint:revive // drain, so that the child is never blocked
				}
			}()
			return cmd, run, reaper
		}
	}
	t.Fatalf("the owner did not come up: %s", strings.Join(lines, "\n"))
	return nil, "", 0
}

// leftovers lists what of a run can be seen on this machine.
func leftovers(run string) error {
	var found []error
	for _, dir := range cgroupsNamed(run) {
		found = append(found, fmt.Errorf("cgroup %s with %v", dir, members(dir)))
	}
	if _, err := os.Stat(filepath.Join(base, run)); err == nil {
		found = append(found, fmt.Errorf("directory %s", run))
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), run) {
		found = append(found, errors.New("a mount"))
	}
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		if text, _ := os.ReadFile(f); strings.Contains(string(text), run) {
			found = append(found, fmt.Errorf("process %s", f))
		}
	}
	return errors.Join(found...)
}

// namespaces lists the network namespaces that some process is in.
func namespaces() map[string]bool {
	seen := map[string]bool{}
	all, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, f := range all {
		if ns, err := os.Readlink(f); err == nil {
			seen[ns] = true
		}
	}
	return seen
}

func TestNothingIsLeft(t *testing.T) {
	testx.NeedRoot(t)
	for _, way := range []string{"kill", "interrupt", "panic"} {
		t.Run(way, func(t *testing.T) {
			before := namespaces()
			cmd, run, _ := owner(t, way)
			if way != "panic" && leftovers(run) == nil {
				t.Fatal("the check finds nothing while the lab is up")
			}
			switch way {
			case "kill":
				_ = cmd.Process.Kill()
			case "interrupt":
				_ = cmd.Process.Signal(syscall.SIGINT)
			}
			_ = cmd.Wait()
			testx.Eventually(t, time.Minute, "all is gone", func(context.Context) error {
				return errors.Join(leftovers(run), noNew(before))
			})
		})
	}
}

func noNew(before map[string]bool) error {
	for ns := range namespaces() {
		if !before[ns] {
			return fmt.Errorf("network namespace %s", ns)
		}
	}
	return nil
}

func TestNextLabSweepsWhatADeadReaperLeft(t *testing.T) {
	testx.NeedRoot(t)
	cmd, run, reaper := owner(t, "kill")
	if err := syscall.Kill(reaper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if leftovers(run) == nil {
		t.Fatal("nothing was left, so nothing is shown")
	}
	New(t, OneServer())
	if err := leftovers(run); err != nil {
		t.Errorf("still there: %v", err)
	}
}

func TestSweepLeavesALivingLabAlone(t *testing.T) {
	l := New(t, OneServer())
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if out, _, err := l.Host("server").Run(t.Context(), "echo", "alive"); err != nil || out != "alive\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

// On a busy machine the thread that started the last program of a lab may still be about to end
// when the lab is removed. It shows the owner's process id.
func TestRemovalWaitsForAThreadOfTheOwner(t *testing.T) {
	testx.NeedRoot(t)
	run, err := newRun()
	if err != nil {
		t.Fatal(err)
	}
	cg, err := makeCgroups("/" + run)
	if err != nil {
		t.Fatal(err)
	}
	inside, leave, left := make(chan error), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- onThread(func() error {
			release, err := cg.adoptThread(&exec.Cmd{})
			inside <- err
			<-leave
			release()
			return nil
		})
	}()
	if err := <-inside; err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { close(leave) })
	if err := removeRun(run); err != nil {
		t.Error(err)
	}
	if err := <-left; err != nil {
		t.Error(err)
	}
}
