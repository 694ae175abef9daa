// Package upgrade is the scenario in README.md.
package upgrade

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func TestRestartAndUpgradeLeavePodsAlone(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(1), cluster.Options{})
	nodes := slices.Concat(c.Agents, []*cluster.Node{c.Server})
	program := map[*cluster.Node]string{}
	url := map[*cluster.Node]string{}
	for _, n := range nodes {
		name := "web-" + n.Name()
		c.CreatePod(t, cluster.AppPod(name, n.Name()))
		pod := c.WaitPods(t, "default", "app="+name, 1)[0]
		url[n] = "http://" + pod.Status.PodIP + ":8080/instance"
		program[n] = cluster.Get(t, n.Host, url[n], "")
	}
	containers := c.Containers(t)

	restart := func(t *testing.T, between func(*cluster.Node)) {
		for _, n := range nodes {
			cluster.Must(t, n.Stop(t.Context()))
			now, err := cluster.Fetch(t.Context(), cluster.HTTP(n.Host), http.MethodGet, url[n])
			if err != nil || now != program[n] {
				t.Errorf("with kedge stopped on %s its pod answers %q, %v, want %q", n.Name(), now, err, program[n])
			}
			between(n)
			start := time.Now()
			cluster.Must(t, n.Start())
			c.WaitAlive(t, n, start, "web-"+n.Name())
		}
		c.SameContainers(t, containers)
		for _, n := range nodes {
			if now := cluster.Get(t, n.Host, url[n], ""); now != program[n] {
				t.Errorf("the program on %s was %s, is %s", n.Name(), program[n], now)
			}
		}
	}
	t.Run("stop and start", func(t *testing.T) { restart(t, func(*cluster.Node) {}) })
	t.Run("upgrade in place", func(t *testing.T) {
		newer := next(t)
		before := facts(t, c, nodes)
		restart(t, func(n *cluster.Node) { cluster.Must(t, cluster.Install(n.Host, newer)) })
		testx.Eventually(t, cluster.Patience, "the nodes are of the new version", func(context.Context) error {
			for name, now := range facts(t, c, nodes) {
				if was := before[name]; now.version == was.version || now.slot == was.slot {
					return fmt.Errorf("node %s was %+v and is %+v", name, was, now)
				}
			}
			return nil
		})
	})
	t.Run("new pods after it", func(t *testing.T) {
		for _, n := range nodes {
			name := "late-" + n.Name()
			c.CreatePod(t, cluster.AppPod(name, n.Name()))
			c.WaitPods(t, "default", "app="+name, 1)
		}
	})
}

// fact is what an upgrade changes on a node: the version that the cluster sees, and the slot of
// the runtime bundle.
type fact struct{ version, slot string }

func facts(t *testing.T, c *cluster.Cluster, nodes []*cluster.Node) map[string]fact {
	t.Helper()
	all := map[string]fact{}
	for _, n := range nodes {
		slot, err := os.Readlink(n.Host.OnDisk("/var/lib/kedge/data/current"))
		cluster.Must(t, err)
		node, err := c.Client.CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
		cluster.Must(t, err)
		all[n.Name()] = fact{node.Status.NodeInfo.KubeletVersion, slot}
	}
	return all
}

// next is the binary to upgrade to: $KEDGE_BINARY_NEW, or build/next/kedge of the repository.
func next(t *testing.T) string {
	t.Helper()
	path := os.Getenv("KEDGE_BINARY_NEW")
	if path == "" {
		root, err := testx.RepoRoot()
		cluster.Must(t, err)
		path = filepath.Join(root, "build", "next", "kedge")
	}
	if _, err := os.Stat(path); err != nil {
		testx.Missing(t, path+" (make next)")
	}
	return path
}
