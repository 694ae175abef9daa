//go:build bench

package install

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// TestMeasureInstall is scripts/bench-install: KEDGE_BENCH_INSTALL are the rates of
// the site's uplink in Mbit/s, 0 for a plain cable, KEDGE_BENCH_RUNS how often each is
// measured. A run copies the program by HTTP, then installs and uninstalls.
func TestMeasureInstall(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("KEDGE_BENCH_RUNS"))
	cluster.Must(t, err)
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
	info, err := os.Stat(release)
	cluster.Must(t, err)
	l, err := c.Server.Host.Listen("tcp", ":8080")
	cluster.Must(t, err)
	plain := &http.Server{Handler: http.FileServer(http.Dir(filepath.Dir(release))), ReadHeaderTimeout: time.Minute}
	go func() { _ = plain.Serve(l) }()
	t.Cleanup(func() { _ = plain.Close() })
	for _, rate := range strings.Fields(os.Getenv("KEDGE_BENCH_INSTALL")) {
		mbit, err := strconv.ParseUint(rate, 10, 32)
		cluster.Must(t, err)
		measure(t, c, mbit, runs, fmt.Sprintf("http://%s:8080/%s", c.Server.Host.IP(), filepath.Base(release)), info.Size())
	}
}

func measure(t *testing.T, c *cluster.Cluster, mbit uint64, runs int, url string, size int64) {
	h := c.Lab.Host(edge)
	uplink := c.Lab.Site("site1").Uplink
	if mbit > 0 {
		cluster.Must(t, uplink.Slow(mbit*1e6, 50*time.Millisecond))
		defer func() { cluster.Must(t, uplink.Heal()) }()
	}
	var copies, installs []time.Duration
	for range runs {
		start := time.Now()
		run(t, h, "curl -sf -o /var/tmp/copy "+url)
		copies = append(copies, time.Since(start))
		run(t, h, "rm /var/tmp/copy")
		command := joinCommand(t, c, h)
		start = time.Now()
		run(t, h, command)
		c.WaitNode(t, edge, corev1.ConditionTrue)
		installs = append(installs, time.Since(start))
		run(t, h, "/usr/local/bin/kedge-uninstall.sh")
		c.Kubectl(t, "delete", "node", edge)
		_, err := c.Server.Kedge(t.Context(), "node", "replace", edge)
		cluster.Must(t, err)
	}
	slices.Sort(copies)
	slices.Sort(installs)
	cp, in := copies[runs/2], installs[runs/2]
	t.Logf("| %d Mbit/s | %.1f MB | %.1f s | %.1f s (%.1f-%.1f) | %.2f | %.1f s |", mbit, float64(size)/1e6,
		cp.Seconds(), in.Seconds(), installs[0].Seconds(), installs[runs-1].Seconds(), in.Seconds()/cp.Seconds(), (in - cp).Seconds())
}
