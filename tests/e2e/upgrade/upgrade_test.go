// Package upgrade is the scenario in README.md.
package upgrade

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func TestRestartAndUpgradeLeavePodsAlone(t *testing.T) {
	newer := cluster.ReleaseFile(t, cluster.NextBinary(t))
	t.Setenv("KEDGE_BINARY", cluster.ReleaseFile(t, cluster.Binary(t)))
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
		before := facts(t, c, nodes)
		restart(t, func(n *cluster.Node) { cluster.Must(t, cluster.Install(n.Host, newer)) })
		testx.Eventually(t, cluster.Patience, "the nodes are of the new version", func(context.Context) error {
			for name, now := range facts(t, c, nodes) {
				was := before[name]
				if now.version == was.version || now.bundle == was.bundle || now.programs == was.programs {
					return fmt.Errorf("node %s was %+v and is %+v", name, was, now)
				}
			}
			return nil
		})
		for _, n := range nodes {
			old := before[n.Name()].bundle
			if _, err := os.Stat(n.Host.OnDisk(slots + "/" + old)); err != nil {
				t.Errorf("the pod on %s runs from bundle %s: %v", n.Name(), old, err)
			}
		}
	})
	t.Run("new pods after it", func(t *testing.T) {
		for _, n := range nodes {
			name := "late-" + n.Name()
			c.CreatePod(t, cluster.AppPod(name, n.Name()))
			c.WaitPods(t, "default", "app="+name, 1)
		}
	})
	t.Run("former programs go with their pods", func(t *testing.T) {
		n := c.Agents[0]
		c.Kubectl(t, "delete", "pod", "web-"+n.Name(), "--now")
		cluster.Must(t, n.Stop(t.Context()))
		start := time.Now()
		cluster.Must(t, n.Start())
		c.WaitAlive(t, n, start, "late-"+n.Name())
		testx.Eventually(t, cluster.Patience, "one program and one bundle are left", func(context.Context) error {
			left, err := filepath.Glob(n.Host.OnDisk(slots + "/????????????????"))
			if err == nil && len(left) != 2 {
				err = fmt.Errorf("there are %q", left)
			}
			return err
		})
	})
}

// slots has a folder for each program and each runtime bundle, named by 16 digits.
const slots = "/var/lib/kedge/data"

// fact is what an upgrade changes on a node: the version that the cluster sees, the slot of the
// runtime bundle, and the slots of the programs that were unpacked from release files.
type fact struct{ version, bundle, programs string }

func facts(t *testing.T, c *cluster.Cluster, nodes []*cluster.Node) map[string]fact {
	t.Helper()
	all := map[string]fact{}
	for _, n := range nodes {
		bundle, err := os.Readlink(n.Host.OnDisk(slots + "/current"))
		cluster.Must(t, err)
		programs, err := filepath.Glob(n.Host.OnDisk(slots + "/*/bin/kedge"))
		cluster.Must(t, err)
		node, err := c.Client.CoreV1().Nodes().Get(t.Context(), n.Name(), metav1.GetOptions{})
		cluster.Must(t, err)
		all[n.Name()] = fact{node.Status.NodeInfo.KubeletVersion, bundle, strings.Join(programs, " ")}
	}
	return all
}
