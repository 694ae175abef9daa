// Package killagent is the scenario in README.md.
package killagent

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const kills = 5

func TestContainersOutliveAKilledAgent(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(1), cluster.Options{ServerArgs: []string{"--disable-agent"}})
	edge := c.Agents[0]
	c.CreatePod(t, cluster.AppPod("web", edge.Name()))
	pod := c.WaitPods(t, "default", "app=web", 1)[0]
	instance := "http://" + pod.Status.PodIP + ":8080/instance"
	program := cluster.Get(t, edge.Host, instance, "")
	containers := c.Containers(t)
	foreign := startForeign(t, edge)

	for range kills {
		cluster.Must(t, edge.Kill())
		now, err := cluster.Fetch(t.Context(), cluster.HTTP(edge.Host), http.MethodGet, instance)
		if err != nil || now != program {
			t.Errorf("without the agent the pod answers %q, %v, want %q", now, err, program)
		}
		start := time.Now()
		cluster.Must(t, edge.Start())
		c.WaitAlive(t, edge, start, "web")
		if now := tasks(t, edge); now != foreign {
			t.Errorf("containers of others were\n%s\nand are\n%s", foreign, now)
		}
	}
	c.SameContainers(t, containers)
	if now := cluster.Get(t, edge.Host, instance, ""); now != program {
		t.Errorf("the program was %s, is %s", program, now)
	}
}

// startForeign runs a container in a namespace of containerd that is not ours.
func startForeign(t *testing.T, n *cluster.Node) string {
	t.Helper()
	ctr(t, n, "images", "import", "/var/lib/kedge/agent/images/app.tar")
	ctr(t, n, "run", "-d", "--null-io", "--cgroup", n.Host.CgroupRoot()+"/foreign", cluster.AppImage, "foreign", "/bin/sleep")
	list := tasks(t, n)
	if !strings.Contains(list, "RUNNING") {
		t.Fatalf("the container does not run: %s", list)
	}
	return list
}

// tasks lists names, process ids and states.
func tasks(t *testing.T, n *cluster.Node) string {
	t.Helper()
	return ctr(t, n, "tasks", "list")
}

func ctr(t *testing.T, n *cluster.Node, args ...string) string {
	t.Helper()
	out, err := n.Kedge(t.Context(), append([]string{"ctr", "--namespace", "foreign"}, args...)...)
	cluster.Must(t, err)
	return out
}
