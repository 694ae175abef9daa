//go:build process

package runtime

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/ociimage"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/testx"
)

var binDir = flag.String("runtime-bin", "", "folder with runc and containerd-shim-runc-v2")

var showLog = flag.Bool("runtime-log", false, "print containerd's log also when a test passes")

// The test binary plays three parts: the tests, the re-executed containerd and
// a daemon that may be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "containerd":
			exit(Main(os.Args[2:]))
		case "daemon":
			exit(testDaemon(os.Args[2], os.Args[3]))
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func testConfig(dataDir, snapshotter string) Config {
	return Config{Layout: paths.New(dataDir), Env: os.Environ(), Snapshotter: snapshotter, RestrictOOMScore: true}
}

// testDaemon runs both components until it is killed and prints "ready".
func testDaemon(dataDir, snapshotter string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c, err := NewContainerd(testConfig(dataDir, snapshotter), log, nil)
	if err != nil {
		return err
	}
	i, err := NewImages(testConfig(dataDir, snapshotter), log, nil)
	if err != nil {
		return err
	}
	g, err := lifecycle.NewGroup(log, c.Component(), i.Component())
	if err != nil {
		return err
	}
	g.OnChange(func(all []lifecycle.Status) {
		for _, s := range all {
			if s.State != lifecycle.StateReady {
				return
			}
		}
		fmt.Println("ready")
	})
	return g.Run(context.Background())
}

// node is a data directory with a runtime in it.
type node struct {
	t   *testing.T
	cfg Config
}

func newNode(t *testing.T, snapshotter string) *node {
	t.Helper()
	testx.NeedRoot(t)
	if *binDir == "" {
		testx.Missing(t, "-runtime-bin=FOLDER with runc and containerd-shim-runc-v2")
	}
	cfg := testConfig(t.TempDir(), snapshotter).WithDefaults()
	n := &node{t: t, cfg: cfg}
	slot := filepath.Join(cfg.Layout.Data(), "slot")
	for _, dir := range []string{filepath.Join(slot, "bin"), filepath.Join(slot, "images")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"runc", "containerd-shim-runc-v2"} {
		copyFile(t, filepath.Join(*binDir, name), filepath.Join(slot, "bin", name))
	}
	if err := os.Symlink("slot", filepath.Join(cfg.Layout.Data(), "current")); err != nil {
		t.Fatal(err)
	}
	n.archive(filepath.Join(slot, "images", "pause.tar"), cfg.SandboxImage, "pause")
	t.Cleanup(func() {
		defer removeTestCgroups(t)
		for _, left := range Reset(context.Background(), ResetConfig{Config: cfg, CgroupRoot: testCgroup}) {
			t.Errorf("left over: %v", left)
		}
		if t.Failed() || *showLog {
			data, _ := os.ReadFile(cfg.logFile())
			t.Logf("containerd log:\n%s", data)
		}
	})
	return n
}

func removeTestCgroups(t *testing.T) {
	for _, mount := range cgroupMounts() {
		dir := filepath.Join(mount, testCgroup)
		if exists(filepath.Join(dir, "kubepods")) {
			t.Errorf("reset left %s/kubepods", dir)
		}
		for _, d := range cgroupTree(dir) {
			if err := removeCgroup(d); err != nil {
				t.Errorf("%s: %v", d, err)
			}
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// testCgroup stands for the cgroup root of a host in the laboratory.
const testCgroup = "/kedge-runtime-test"

const busybox = "/usr/bin/busybox"

// archive writes an image whose program sleeps for ever.
func (n *node) archive(path, ref, label string) {
	n.t.Helper()
	if _, err := os.Stat(busybox); err != nil {
		testx.Missing(n.t, "a static "+busybox)
	}
	_, err := ociimage.WriteFile(path, ociimage.Image{
		Ref: ref, Arch: goruntime.GOARCH, Entrypoint: []string{"/busybox", "sleep", "100000"},
		Labels: map[string]string{"test": label},
		Files:  []ociimage.File{{Path: "/busybox", Mode: 0o755, Source: busybox}},
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// daemon starts a daemon process and waits until it is ready.
func (n *node) daemon() *exec.Cmd {
	n.t.Helper()
	return n.daemonAs(exec.Command(selfExe, "daemon", n.cfg.Layout.DataDir, n.cfg.Snapshotter))
}

// daemonAs is daemon with a command that ends up being one.
func (n *node) daemonAs(cmd *exec.Cmd) *exec.Cmd {
	n.t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { n.kill9(cmd) })
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
	}()
	select {
	case s := <-line:
		if s != "ready\n" {
			n.t.Fatalf("daemon ended before it was ready (%q)", s)
		}
	case <-time.After(90 * time.Second):
		n.t.Fatal("daemon not ready in 90 s")
	}
	return cmd
}

func (n *node) kill9(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func (n *node) pid() int { return readRecord(n.cfg.recordFile()).PID }

func (n *node) client() *containerd.Client {
	n.t.Helper()
	c, err := n.cfg.dial()
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.Close() })
	return c
}

// handMade starts a container in a namespace of its own and returns the pid of
// its program.
func (n *node) handMade() int {
	n.t.Helper()
	ctx := namespaces.WithNamespace(context.Background(), "by-hand")
	client := n.client()
	f, err := os.Open(n.cfg.PauseArchive)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	imgs, err := client.Import(ctx, f)
	if err != nil {
		n.t.Fatal(err)
	}
	img := containerd.NewImage(client, imgs[0])
	if err := img.Unpack(ctx, n.cfg.Snapshotter); err != nil {
		n.t.Fatal(err)
	}
	c, err := client.NewContainer(ctx, "mine",
		containerd.WithSnapshotter(n.cfg.Snapshotter), containerd.WithNewSnapshot("mine", img),
		containerd.WithRuntime("io.containerd.runc.v2", nil),
		containerd.WithNewSpec(oci.WithImageConfig(img), oci.WithNoNewPrivileges))
	if err != nil {
		n.t.Fatal(err)
	}
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := task.Start(ctx); err != nil {
		n.t.Fatal(err)
	}
	return int(task.Pid())
}

// pod runs one pod on the host's network with one container and returns the
// container's pid.
func (n *node) pod(name, image string) int {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client := n.client()
	rt := criOf(client)
	sandbox := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: "0000-" + name, Namespace: "test"},
		LogDirectory: filepath.Join(n.cfg.Layout.PodLogs(), "test_"+name+"_0000-"+name),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: testCgroup + "/kubepods/besteffort/pod0000-" + name,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
			},
		},
	}
	run, err := rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: sandbox})
	if err != nil {
		n.t.Fatal(err)
	}
	made, err := rt.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: run.PodSandboxId, SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "main"}, Image: &cri.ImageSpec{Image: image}, LogPath: "main.log",
			Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}}},
		},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: made.ContainerId}); err != nil {
		n.t.Fatal(err)
	}
	c, err := client.LoadContainer(ctx, made.ContainerId)
	if err != nil {
		n.t.Fatal(err)
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return int(task.Pid())
}

func isAlive(pid int) bool {
	st, err := hostProc.stat(pid)
	return err == nil && st.State != 'Z'
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}
