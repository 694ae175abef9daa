// Package upgrade is the scenario in README.md.
package upgrade

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
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
		newer := rebuilt(t)
		restart(t, func(n *cluster.Node) { cluster.Must(t, cluster.Install(n.Host, newer)) })
	})
}

// rebuilt is $KEDGE_BINARY_NEW, or else a binary of the same sources that is another file with
// another content: the loader ignores what follows the program.
func rebuilt(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("KEDGE_BINARY_NEW"); path != "" {
		return path
	}
	data, err := os.ReadFile(cluster.Binary(t))
	cluster.Must(t, err)
	path := filepath.Join(t.TempDir(), "kedge")
	cluster.Must(t, os.WriteFile(path, append(data, "rebuilt"...), 0o755))
	return path
}
