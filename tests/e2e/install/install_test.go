// Package install is the scenario in README.md.
package install

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const edge = "edge1"

func TestNodeFromNothingButCurl(t *testing.T) {
	testx.NeedRoot(t)
	testx.NeedPrograms(t, "mmdebstrap", "nft", "ip")
	topology := lab.ServerAndEdges(1)
	topology.Roots = map[string]string{edge: minimalRoot(t)}
	release := cluster.ReleaseFile(t, cluster.Binary(t))
	c := cluster.New(t, topology, cluster.Options{
		Bare: []string{edge},
		BeforeStart: func(h *lab.Host) {
			cluster.Must(t, os.MkdirAll(h.OnDisk("/var/lib/kedge/server/dist"), 0o755))
			cluster.Must(t, os.Link(release, h.OnDisk("/var/lib/kedge/server/dist/kedge-linux-amd64")))
		},
	})
	h := c.Lab.Host(edge)
	before := look(t, h)
	command := joinCommand(t, c, h)

	wrong := strings.Replace(command, "sha256//", "sha256//AAAA", 1)
	if out, _, err := h.Run(t.Context(), "sh", "-c", wrong); err != nil || out != "" {
		t.Errorf("with another key of the server: %v, %q", err, out) // curl has ended, sh had nothing to do
	}
	compare(t, before, look(t, h))

	enter := time.Now()
	out := run(t, h, command)
	c.WaitNode(t, edge, corev1.ConditionTrue)
	t.Logf("from Enter to Ready: %s\n%s", time.Since(enter).Round(100*time.Millisecond), out)
	daemon := pidOf(t, h)
	if out := run(t, h, command); !strings.Contains(out, "nothing was changed") || pidOf(t, h) != daemon {
		t.Errorf("again, it says:\n%s", out)
	}

	cluster.Must(t, cluster.InstallApp(t.Context(), h, ""))
	c.CreatePod(t, cluster.AppPod("web", edge))
	c.WaitPods(t, "default", "app=web", 1)
	t.Run("upgraded by the same line", func(t *testing.T) { upgrade(t, c, h, command) })

	t.Log(run(t, h, "/usr/local/bin/kedge-uninstall.sh"))
	compare(t, before, look(t, h))
}

// upgrade has the server hand out another release, with its pod running on the host.
func upgrade(t *testing.T, c *cluster.Cluster, h *lab.Host, command string) {
	newer := cluster.ReleaseFile(t, cluster.NextBinary(t))
	pods := c.WaitPods(t, "default", "app=web", 1)
	container := pods[0].Status.ContainerStatuses[0].ContainerID
	version := func() string {
		node, err := c.Client.CoreV1().Nodes().Get(t.Context(), edge, metav1.GetOptions{})
		cluster.Must(t, err)
		return node.Status.NodeInfo.KubeletVersion
	}
	was, daemon := version(), pidOf(t, h)
	dist := c.Server.Host.OnDisk("/var/lib/kedge/server/dist/kedge-linux-amd64")
	cluster.Must(t, os.Remove(dist))
	cluster.Must(t, os.Link(newer, dist))

	start := time.Now()
	t.Log(run(t, h, command))
	if pidOf(t, h) == daemon {
		t.Error("kedge was not started again")
	}
	testx.Eventually(t, cluster.Patience, "the node is of the new version, and its pod as before", func(ctx context.Context) error {
		if now := version(); now == was {
			return fmt.Errorf("its version is %s", now)
		}
		_, err := c.TryKubectl(ctx, "exec", "web", "--", "sum", "/app")
		return err
	})
	t.Logf("upgraded in %s", time.Since(start).Round(100*time.Millisecond))
	pod := c.WaitPods(t, "default", "app=web", 1)[0].Status.ContainerStatuses[0]
	if pod.ContainerID != container || pod.RestartCount != 0 {
		t.Errorf("the container was %s and is %s, restarted %d times", container, pod.ContainerID, pod.RestartCount)
	}
	if out := run(t, h, command); !strings.Contains(out, "nothing was changed") {
		t.Errorf("and again, it says:\n%s", out)
	}
	testx.Eventually(t, cluster.Patience, "the former program is gone, and nothing was restarted for it", func(context.Context) error {
		programs, err := filepath.Glob(h.Path("/var/lib/kedge/data/*/bin/kedge"))
		if err == nil && len(programs) != 1 {
			err = fmt.Errorf("there are %q", programs)
		}
		return err
	})
}

// joinCommand is the line that the server prints, with what only the laboratory
// needs behind it.
func joinCommand(t *testing.T, c *cluster.Cluster, h *lab.Host) string {
	t.Helper()
	line, err := c.Server.Kedge(t.Context(), "token", "create", "--join-command")
	cluster.Must(t, err)
	line, ok := strings.CutSuffix(strings.TrimSpace(line), "| sh -")
	if !ok {
		line, ok = strings.CutSuffix(line, " sh -")
	}
	if !ok {
		t.Fatalf("the command is %q", line)
	}
	return line + " sh -s - agent --cgroup-root " + h.CgroupRoot()
}

func run(t *testing.T, h *lab.Host, command string) string {
	t.Helper()
	out, errOut, err := h.Run(t.Context(), "sh", "-c", command)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, out, errOut)
	}
	return out + errOut
}

func pidOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	text, err := h.ReadFile("/var/lib/kedge/lock")
	cluster.Must(t, err)
	return string(text)
}

// minimalRoot is build/minimal-root of the repository, made if it is not there.
func minimalRoot(t *testing.T) string {
	t.Helper()
	root, err := testx.RepoRoot()
	cluster.Must(t, err)
	dir := filepath.Join(root, "build", "minimal-root")
	build := exec.CommandContext(t.Context(), filepath.Join(root, "scripts", "minimal-root"), dir)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}
