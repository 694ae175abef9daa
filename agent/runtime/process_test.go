//go:build process

package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
)

func TestContainerdAndContainersOutliveKilledDaemon(t *testing.T) {
	for _, snapshotter := range []string{SnapshotterOverlay, SnapshotterNative} {
		t.Run(snapshotter, func(t *testing.T) {
			n := newNode(t, snapshotter)
			first := n.daemon()
			pid := n.pid()
			foreign := n.handMade()
			own := n.pod("one", n.cfg.SandboxImage)
			n.kill9(first)
			if !isAlive(pid) || !isAlive(foreign) || !isAlive(own) {
				t.Fatal("killing the daemon ended something")
			}
			second := n.daemon()
			if n.pid() != pid {
				t.Errorf("containerd was not adopted: pid %d became %d", pid, n.pid())
			}
			if !isAlive(foreign) || !isAlive(own) {
				t.Error("adoption ended a container")
			}
			n.kill9(second)
			for _, left := range Reset(t.Context(), ResetConfig{Config: n.cfg, CgroupRoot: testCgroup}) {
				t.Errorf("left over: %v", left)
			}
			for what, p := range map[string]int{"containerd": pid, "container by hand": foreign, "pod": own} {
				if isAlive(p) {
					t.Errorf("reset left %s running (pid %d)", what, p)
				}
			}
			assertNothingMounted(t, n.cfg)
		})
	}
}

func assertNothingMounted(t *testing.T, cfg Config) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, cfg.Layout.DataDir+"/") || strings.Contains(line, cfg.Layout.RunDir+"/") {
			t.Errorf("still mounted: %s", line)
		}
	}
	for _, dir := range []string{cfg.Layout.ContainerdState(), cfg.Layout.Containerd(), runcDefaultRoot + "/by-hand"} {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", dir)
		}
	}
}

func TestContainerdIsReplacedWhenConfigurationChangedWithoutTouchingContainers(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	first := n.daemon()
	pid, own := n.pid(), n.pod("two", n.cfg.SandboxImage)
	n.kill9(first)
	dropIn := filepath.Join(filepath.Dir(n.cfg.dropIns()), "a.toml")
	if err := os.WriteFile(dropIn, []byte("version = 3\n[debug]\nlevel = \"info\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.daemon()
	if n.pid() == pid || isAlive(pid) {
		t.Errorf("containerd %d was not replaced", pid)
	}
	if !isAlive(own) {
		t.Error("the replacement ended a container")
	}
}

func TestContainerdThatDiesIsStartedAgain(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	n.daemon()
	pid := n.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "another containerd answers", func() bool {
		return n.pid() != pid && probeConfig(n.cfg) == nil
	})
}

func probeConfig(cfg Config) error {
	c := &Containerd{child: child{cfg: cfg, proc: hostProc}}
	return c.probeOnce(context.Background())
}

func TestArchivesAreImportedPinnedAndOnlyWhenContentChanged(t *testing.T) {
	n := newNode(t, SnapshotterOverlay)
	dir := n.cfg.Layout.Images()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n.archive(filepath.Join(dir, "app.tar"), "registry.test/app:1", "first")
	n.daemon()
	client := n.client()
	images := client.ImageService()
	ctx := namespaces.WithNamespace(t.Context(), Namespace)
	digest := func(name string) string {
		img, err := images.Get(ctx, name)
		if err != nil {
			return ""
		}
		if img.Labels["io.cri-containerd.pinned"] != "pinned" {
			t.Errorf("%s is not pinned", name)
		}
		return img.Target.Digest.String()
	}
	within(t, 60*time.Second, "the archive is imported", func() bool { return digest("registry.test/app:1") != "" })
	first := digest("registry.test/app:1")

	// A copy in progress is not an error that lasts: the whole is imported.
	whole := filepath.Join(t.TempDir(), "late.tar")
	n.archive(whole, "registry.test/late:1", "late")
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	late := filepath.Join(dir, "late.tar")
	if err := os.WriteFile(late, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	n.archive(filepath.Join(dir, "app.tar"), "registry.test/app:1", "second")
	within(t, 60*time.Second, "the changed archive is imported", func() bool {
		d := digest("registry.test/app:1")
		return d != "" && d != first
	})
	if digest("registry.test/late:1") != "" {
		t.Error("half an archive was taken for an image")
	}
	if err := os.WriteFile(late, data, 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, 60*time.Second, "the completed archive is imported", func() bool { return digest("registry.test/late:1") != "" })

	im := importer{client: client, snapshotter: n.cfg.Snapshotter, memory: n.cfg.importedFile()}
	within(t, 30*time.Second, "the import is remembered and not done again", func() bool {
		known, ok := im.recall()[late]
		return ok && im.present(ctx, known.Images)
	})
	if _, wrote, err := im.ensure(ctx, late); err != nil || wrote {
		t.Errorf("unchanged archive: wrote %v, %v", wrote, err)
	}
	if err := os.Chtimes(late, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, wrote, err := im.ensure(ctx, late); err != nil || wrote {
		t.Errorf("archive with a new time but the same content: wrote %v, %v", wrote, err)
	}
}
