package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	manifests = "/var/lib/kedge/server/manifests"
	archives  = "/var/lib/kedge/agent/images"
)

// configMap is a manifest of one.
func configMap(name, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\ndata: {v: %q}\n", name, value)
}

func writeManifest(t *testing.T, c *cluster.Cluster, file, text string) {
	t.Helper()
	cluster.Must(t, c.Server.Host.WriteFile(manifests+"/"+file, []byte(text), 0o600))
}

func removeManifest(t *testing.T, c *cluster.Cluster, file string) {
	t.Helper()
	cluster.Must(t, os.Remove(c.Server.Host.Path(manifests+"/"+file)))
}

// applied follows a file in the manifests folder: new, changed, with an object less, removed.
func applied(t *testing.T, c *cluster.Cluster) {
	const file = "maps.yaml"
	writeManifest(t, c, file, configMap("first", "1")+configMap("second", "1"))
	awaitMap(t, c, "first", "1")
	awaitMap(t, c, "second", "1")
	writeManifest(t, c, file, configMap("first", "2")+configMap("second", "1"))
	awaitMap(t, c, "first", "2")
	writeManifest(t, c, file, configMap("first", "2"))
	awaitGone(t, c, "second")
	awaitMap(t, c, "first", "2")
	removeManifest(t, c, file)
	awaitGone(t, c, "first")
}

// whileDown makes all those changes while there is no server, and adds an image. What was there
// before and did not change is not imported again.
func whileDown(t *testing.T, c *cluster.Cluster) {
	writeManifest(t, c, "changes.yaml", configMap("stays", "1")+configMap("leaves", "1"))
	writeManifest(t, c, "goes.yaml", configMap("goes", "1"))
	awaitMap(t, c, "stays", "1")
	awaitMap(t, c, "leaves", "1")
	awaitMap(t, c, "goes", "1")
	before := imports(t, c, "app.tar")

	cluster.Must(t, c.Server.Stop(t.Context()))
	writeManifest(t, c, "changes.yaml", configMap("stays", "2"))
	writeManifest(t, c, "comes.yaml", configMap("comes", "1"))
	removeManifest(t, c, "goes.yaml")
	putImage(t, c, "app.kedge.test/late:1")
	cluster.Must(t, c.Server.Start())
	c.Connect(t)

	awaitMap(t, c, "stays", "2")
	awaitMap(t, c, "comes", "1")
	awaitGone(t, c, "leaves")
	awaitGone(t, c, "goes")
	awaitImports(t, c, "late.tar", 1)
	if now := imports(t, c, "app.tar"); now != before {
		t.Errorf("the unchanged archive was imported %d times before and %d after the restart", before, now)
	}
}

// images follows an archive: written again with the same content it is left alone, with another
// image it is imported and a pod can use it.
func images(t *testing.T, c *cluster.Cluster) {
	before := imports(t, c, "app.tar")
	same, err := c.Server.Host.ReadFile(archives + "/app.tar")
	cluster.Must(t, err)
	cluster.Must(t, c.Server.Host.WriteFile(archives+"/app.tar", same, 0o644))
	putImage(t, c, "app.kedge.test/late:2")
	awaitImports(t, c, "late.tar", 2)
	if now := imports(t, c, "app.tar"); now != before {
		t.Errorf("the same content was imported %d times before and %d after it was written again", before, now)
	}
	pod := cluster.AppPod("late", c.Server.Name())
	pod.Spec.Containers[0].Image = "app.kedge.test/late:2"
	c.CreatePod(t, pod)
	c.WaitPods(t, "default", "app=late", 1)
}

// putImage replaces the archive late.tar of the server's host.
func putImage(t *testing.T, c *cluster.Cluster, ref string) {
	t.Helper()
	archive, err := cluster.Archive(t.Context(), ref)
	cluster.Must(t, err)
	cluster.Must(t, c.Server.Host.WriteFile(archives+"/late.tar", archive, 0o644))
}

// imports counts how often the server's node says that it imported an archive.
func imports(t *testing.T, c *cluster.Cluster, file string) int {
	t.Helper()
	log, err := os.ReadFile(c.Server.Proc().Log())
	cluster.Must(t, err)
	n := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, `msg="images imported"`) && strings.Contains(line, archives+"/"+file) {
			n++
		}
	}
	return n
}

func awaitImports(t *testing.T, c *cluster.Cluster, file string, n int) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, file+" is imported", func(context.Context) error {
		if now := imports(t, c, file); now != n {
			return fmt.Errorf("%d times, want %d", now, n)
		}
		return nil
	})
}

func awaitMap(t *testing.T, c *cluster.Cluster, name, value string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("config map %s holds %q", name, value), func(ctx context.Context) error {
		m, err := c.Client.CoreV1().ConfigMaps("default").Get(ctx, name, metav1.GetOptions{})
		if err == nil && m.Data["v"] != value {
			err = fmt.Errorf("it holds %q", m.Data["v"])
		}
		return err
	})
}

func awaitGone(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "config map "+name+" is gone", func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ConfigMaps("default").Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is there"), err)
	})
}
