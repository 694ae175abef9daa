//go:build process

package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/internal/testx"
)

// look is what an observer saw of a process while containerd waited.
type look struct {
	event           pods.Event
	program, cgroup string
}

type looker struct {
	mu    sync.Mutex
	syncs int
	pods  []pods.Sandbox
	conts []pods.Container
	seen  []look
	// also is called for each event while containerd waits.
	also func(pods.Event)
}

func (l *looker) Synchronize(_ context.Context, all []pods.Sandbox, containers []pods.Container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncs++
	l.pods, l.conts = all, containers
}

func (l *looker) Observe(_ context.Context, e pods.Event) {
	s := look{event: e}
	if pid := e.Container.Pid; pid > 0 {
		s.program = strings.Join(hostProc.cmdline(pid), " ")
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		for line := range strings.Lines(string(text)) {
			if path, ok := strings.CutPrefix(line, "0::"); ok {
				s.cgroup = strings.TrimSpace(path)
			}
		}
	}
	if l.also != nil {
		l.also(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, s)
}

// find returns the event of that kind for a container or pod of that name.
func (l *looker) find(kind pods.Kind, name string) (look, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.seen {
		if s.event.Kind == kind && (s.event.Container.Name == name || s.event.Pod.Name == name) {
			return s, true
		}
	}
	return look{}, false
}

func (l *looker) synced() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.syncs
}

// hook runs hooks in this process until the test or the returned function ends.
func (n *node) hook(o pods.Observer) (stop func()) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := NewHooks(n.cfg, o, slog.New(slog.DiscardHandler), func(error) {})
	h.FollowProcesses()
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Component().Run(ctx, func() { close(ready) })
	}()
	stop = func() {
		cancel()
		<-done
	}
	n.t.Cleanup(stop)
	select {
	case <-ready:
	case <-time.After(25 * time.Second):
		n.t.Fatal("no hooks after 25 s")
	}
	return stop
}

// network gives pods an address without a link: only the order counts here.
func (n *node) network() {
	n.t.Helper()
	script := `#!/bin/sh
case "$CNI_COMMAND" in
ADD) echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"address":"10.99.0.5/24","interface":0}]}' ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' ;;
esac
`
	conf := `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"fake"}]}`
	for path, text := range map[string]string{
		filepath.Join(n.cfg.Layout.CurrentBin(), "fake"):         script,
		filepath.Join(n.cfg.Layout.CNIConfig(), "test.conflist"): conf,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			n.t.Fatal(err)
		}
	}
}

// sandboxed runs a pod with a network and returns its ID and that of its
// container, which runs command or else sleeps.
func (n *node) sandboxed(name string, command ...string) (pod, container string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	rt := criOf(n.client())
	sandbox := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: "0000-" + name, Namespace: "test"},
		Labels:       map[string]string{"app": name},
		Annotations:  map[string]string{"bandwidth.kedge.io/egress-max": "10M"},
		LogDirectory: filepath.Join(n.cfg.Layout.PodLogs(), "test_"+name+"_0000-"+name),
		Linux:        &cri.LinuxPodSandboxConfig{CgroupParent: testCgroup + "/kubepods/besteffort/pod0000-" + name},
	}
	run, err := rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: sandbox})
	if err != nil {
		n.t.Fatal(err)
	}
	made, err := rt.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: run.PodSandboxId, SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "main"}, Image: &cri.ImageSpec{Image: n.cfg.SandboxImage}, LogPath: "main.log",
			Command:     command,
			Annotations: map[string]string{"io.kubernetes.container.ports": `[{"containerPort":80}]`},
		},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: made.ContainerId}); err != nil {
		n.t.Fatal(err)
	}
	return run.PodSandboxId, made.ContainerId
}

func TestHooksComeAfterTheNetworkAndBeforeTheProgram(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	n.network()
	n.daemon()
	o := &looker{}
	n.hook(o)
	_, id := n.sandboxed("hooked")

	pod, ok := o.find(pods.PodStarted, "hooked")
	if !ok {
		t.Fatal("the pod's start was not told")
	}
	if p := pod.event.Pod; p.UID != "0000-hooked" || p.Namespace != "test" || p.Labels["app"] != "hooked" ||
		p.Annotations["bandwidth.kedge.io/egress-max"] != "10M" || p.Pid == 0 || p.NetNS == "" ||
		len(p.Addrs) != 1 || p.Addrs[0].String() != "10.99.0.5" {
		t.Errorf("pod: %+v", p)
	}
	c, ok := o.find(pods.ContainerStarting, "main")
	if !ok {
		t.Fatal("the container's start was not told")
	}
	if e := c.event; e.Container.ID != id || e.Container.Sandbox != e.Pod.ID || e.Pod.Name != "hooked" ||
		e.Container.CgroupsPath != testCgroup+"/kubepods/besteffort/pod0000-hooked/"+id ||
		e.Container.Annotations["io.kubernetes.container.ports"] == "" {
		t.Errorf("container: %+v", e.Container)
	}
	if !strings.Contains(c.program, "init") || strings.Contains(c.program, "busybox") {
		t.Errorf("at its start hook the container runs %q, want runc's init", c.program)
	}
	if now := strings.Join(hostProc.cmdline(c.event.Container.Pid), " "); !strings.Contains(now, "busybox") {
		t.Errorf("process %d became %q, want the image's program", c.event.Container.Pid, now)
	}
	t.Logf("cgroup2 folder at the start hook: %s", c.cgroup)
}

func TestProcessesAddedToAContainerAreTold(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	n.network()
	n.daemon()
	o := &looker{}
	n.hook(o)
	_, id := n.sandboxed("exec")
	rt := criOf(n.client())
	within(t, 30*time.Second, "an added process is told", func() bool {
		_, err := rt.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"/busybox", "true"}, Timeout: 10})
		if err != nil {
			t.Fatal(err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, s := range o.seen {
			if e := s.event; e.Kind == pods.ProcessAdded && e.Container.ID == id && e.Container.Pid > 0 {
				return true
			}
		}
		return false
	})
}

func TestHooksTellRunningPodsAfterEitherSideWasStartedAnew(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	n.network()
	n.daemon()
	first := &looker{}
	stop := n.hook(first)
	pod, container := n.sandboxed("lasting")
	stop()

	// Without hooks pods run as before.
	other, _ := n.sandboxed("unseen")

	second := &looker{}
	n.hook(second)
	assertKnown(t, second, pod, container)
	assertKnown(t, second, other, "")

	pid := n.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 60*time.Second, "the new containerd tells the whole state", func() bool { return second.synced() >= 2 })
	assertKnown(t, second, pod, container)
	n.sandboxed("later")
	if _, ok := second.find(pods.PodStarted, "later"); !ok {
		t.Error("the new containerd does not tell of pods")
	}
}

func assertKnown(t *testing.T, o *looker, pod, container string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	found := false
	for _, p := range o.pods {
		found = found || p.ID == pod && p.Pid > 0 && p.NetNS != "" && len(p.Addrs) == 1
	}
	if !found {
		t.Errorf("pod %s is not whole in %+v", pod, o.pods)
	}
	found = container == ""
	for _, c := range o.conts {
		found = found || c.ID == container && c.Sandbox == pod && c.Pid > 0
	}
	if !found {
		t.Errorf("container %s is not whole in %+v", container, o.conts)
	}
}

func TestAContainerdWithoutHooksIsReplacedAtUpgradeAndKeepsItsPods(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	testx.NeedRoot(t)
	dropIn := filepath.Join(filepath.Dir(n.cfg.dropIns()), "old.toml")
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		t.Fatal(err)
	}
	// As an older version of kedge starts it.
	if err := os.WriteFile(dropIn, []byte("version = 3\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := n.daemon()
	own := n.pod("old", n.cfg.SandboxImage)
	if _, err := os.Stat(n.cfg.nriSocket()); err == nil {
		t.Fatal("hooks are there although they are switched off")
	}
	n.kill9(first)
	if err := os.Remove(dropIn); err != nil {
		t.Fatal(err)
	}
	n.daemon()
	o := &looker{}
	n.hook(o)
	if !isAlive(own) {
		t.Error("the upgrade ended a container")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pods) != 1 || o.pods[0].Name != "old" || len(o.conts) != 1 || o.conts[0].Pid != own {
		t.Errorf("pods of the former containerd: %+v, %+v", o.pods, o.conts)
	}
}
