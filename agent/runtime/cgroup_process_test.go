//go:build process

package runtime

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/internal/testx"
)

// identities gives each container that starts its identity.
type identities struct {
	folders *cgroup.Folders
	mu      sync.Mutex
	ids     map[string]uint64
	errs    []error
}

func newIdentities(cfg cgroup.Config) *identities {
	return &identities{folders: cgroup.New(cfg, slog.New(slog.DiscardHandler)), ids: map[string]uint64{}}
}

func (i *identities) observe(e pods.Event) {
	if e.Kind != pods.ContainerStarting && e.Kind != pods.ProcessAdded {
		return
	}
	id, err := i.folders.Identify(context.Background(), cgroup.Container{ID: e.Container.ID, Pid: e.Container.Pid})
	i.mu.Lock()
	defer i.mu.Unlock()
	if e.Kind == pods.ProcessAdded {
		return // it may have ended already
	}
	i.ids[e.Container.ID] = id
	if err != nil {
		i.errs = append(i.errs, err)
	}
}

// exec runs a command in a container and returns what it prints.
func (n *node) exec(container string, command ...string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := criOf(n.client()).ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: container, Cmd: command, Timeout: 20})
	if err != nil {
		n.t.Fatal(err)
	}
	return string(r.Stdout)
}

// folder2 is the cgroup2 folder in the text of /proc/PID/cgroup.
func folder2(text string) string {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

func (i *identities) want(t *testing.T, container, path string) {
	t.Helper()
	want, err := cgroup.Identity(path)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids[container] != want || len(i.errs) > 0 {
		t.Errorf("identity %d, folder %s has %d; errors %v", i.ids[container], path, want, i.errs)
	}
}

func TestRuncGivesContainersACgroup2FolderWhereTheHostHasOne(t *testing.T) {
	cfg := cgroup.Config{Root: testCgroup, Name: "mirror"}
	if cgroup.New(cfg, slog.New(slog.DiscardHandler)).Mirrored() {
		testx.Missing(t, "cgroup2 at /sys/fs/cgroup or /sys/fs/cgroup/unified")
	}
	n := newNode(t, SnapshotterOverlay)
	n.network()
	n.daemon()
	i := newIdentities(cfg)
	n.hook(&looker{also: i.observe})
	_, id := n.sandboxed("own")
	i.want(t, id, testCgroup+"/kubepods/besteffort/pod0000-own/"+id)
	// On cgroup v2 alone the container sees its folder as the root.
	if got := folder2(n.exec(id, "/busybox", "cat", "/proc/self/cgroup")); !strings.Contains(got, id) && got != "/" {
		t.Errorf("an added process is in %s", got)
	}
	if mirror := cgroupMounts()[""] + testCgroup + "/mirror"; exists(mirror) {
		t.Errorf("%s was made although the container has a folder", mirror)
	}
}

func TestContainersOfALegacyHostAreMirrored(t *testing.T) {
	const unified = "/sys/fs/cgroup/unified"
	if cgroupMounts()["pids"] == "" || cgroupMounts()[""] != unified {
		testx.Missing(t, "a host with cgroup v1 whose "+unified+" can be hidden")
	}
	n := newNode(t, SnapshotterOverlay)
	n.network()
	// containerd, and so runc, is on a host that has cgroup v1 alone.
	n.daemonAs(exec.Command("unshare", "--mount", "sh", "-ec", `umount `+unified+`; exec "$0" "$@"`,
		exe(t), "daemon", n.cfg.Layout.DataDir, n.cfg.Snapshotter))
	cfg := cgroup.Config{Root: testCgroup, Name: "mirror"}
	t.Cleanup(func() {
		if err := cgroup.Remove(context.Background(), cfg); err != nil {
			t.Error(err)
		}
	})
	i := newIdentities(cfg)
	o := &looker{also: i.observe}
	n.hook(o)
	_, id := n.sandboxed("mirrored", "/busybox", "sh", "-c", "/busybox sleep 1000 & wait")
	mirror := testCgroup + "/mirror/" + id
	i.want(t, id, mirror)
	// The program and what it starts are there, because its first process was
	// moved before it became the program.
	c, _ := o.find(pods.ContainerStarting, "main")
	children := func() []string {
		text, _ := os.ReadFile(cgroupMounts()[""] + mirror + "/cgroup.procs")
		return strings.Fields(string(text))
	}
	within(t, 20*time.Second, "the container's processes are in its folder", func() bool { return len(children()) == 2 })
	if text, _ := os.ReadFile("/proc/" + children()[0] + "/cgroup"); folder2(string(text)) != mirror {
		t.Errorf("process %d is in %s", c.event.Container.Pid, folder2(string(text)))
	}
	// One that is added moves within a moment.
	loop := "while ! /busybox grep -q ^0::.*" + id + "$ /proc/self/cgroup; do :; done; /busybox grep ^0: /proc/self/cgroup"
	if got := folder2(n.exec(id, "/busybox", "sh", "-c", loop)); got != mirror {
		t.Errorf("an added process stayed in %s", got)
	}
}

// exe is this program by a name that holds in other processes.
func exe(t *testing.T) string {
	t.Helper()
	path, err := os.Readlink(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
