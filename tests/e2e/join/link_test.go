package join

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/speed"
	"github.com/kedge-io/kedge/tunnel/view"
)

// link shows that both ends, the API and the metrics tell the same of a link.
func link(t *testing.T, c *cluster.Cluster, a *cluster.Node) {
	t.Run("status at the server", func(t *testing.T) { linkStatus(t, c.Server, a.Name()) })
	t.Run("status at the node", func(t *testing.T) { linkStatus(t, a, "") })
	t.Run("bench", func(t *testing.T) { linkBench(t, c, a.Name()) })
	t.Run("condition and event", func(t *testing.T) { linkCondition(t, c, a.Name()) })
	t.Run("metrics", func(t *testing.T) { linkMetrics(t, c, a.Name()) })
}

func linkStatus(t *testing.T, at *cluster.Node, peer string) {
	args := []string{"link", "status", "-o", "json"}
	if peer != "" {
		args = append(args, peer)
	}
	testx.Eventually(t, cluster.Patience, "the link is up with its lanes", func(ctx context.Context) error {
		out, err := at.Kedge(ctx, args...)
		if err != nil {
			return err
		}
		var report view.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Links) != 1 {
			return fmt.Errorf("%q: %w", out, err)
		}
		l := report.Links[0]
		for _, class := range []tunnel.Lane{tunnel.LaneControl, tunnel.LaneInteractive} {
			if !slices.ContainsFunc(l.Lanes, func(s tunnel.LaneStatus) bool { return s.Class == class }) {
				return fmt.Errorf("no %s lane in %+v", class, l.Lanes)
			}
		}
		if !l.Up || l.RTT <= 0 || l.BytesIn == 0 || l.BytesOut == 0 {
			return fmt.Errorf("the link is %+v", l)
		}
		return nil
	})
	table, err := at.Kedge(t.Context(), "link", "status")
	if err != nil || !strings.Contains(table, peer) || !strings.Contains(table, "RECONNECTS") {
		t.Errorf("the table is %q, %v", table, err)
	}
}

func linkBench(t *testing.T, c *cluster.Cluster, node string) {
	out, err := c.Server.Kedge(t.Context(), "link", "bench", node, "--duration", "300ms", "--streams", "2", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var r speed.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if r.In <= 0 || r.Out <= 0 || r.Idle.N == 0 || r.Dial.N == 0 || r.Streams != 2 {
		t.Errorf("got %+v", r)
	}
	if _, err := c.Server.Kedge(t.Context(), "link", "bench", "nobody"); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a node that is not there: %v", err)
	}
}

func linkCondition(t *testing.T, c *cluster.Cluster, node string) {
	testx.Eventually(t, cluster.Patience, "condition and event", func(ctx context.Context) error {
		status, err := c.TryKubectl(ctx, "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="KedgeLink")].status}`)
		if err != nil || status != "True" {
			return fmt.Errorf("condition KedgeLink is %q: %w", status, err)
		}
		events, err := c.TryKubectl(ctx, "get", "events", "-A", "--field-selector", "reason=LinkUp,involvedObject.name="+node, "-o", "name")
		if err != nil || events == "" {
			return errors.Join(errors.New("no event LinkUp"), err)
		}
		return nil
	})
}

// linkMetrics asks the API server, and kubelet for the node's own end.
func linkMetrics(t *testing.T, c *cluster.Cluster, node string) {
	server := c.Kubectl(t, "get", "--raw", "/metrics")
	if want := fmt.Sprintf("kedge_link_up{peer=%q} 1", node); !strings.Contains(server, want) {
		t.Errorf("the API server's metrics lack %s", want)
	}
	own := c.Kubectl(t, "get", "--raw", "/api/v1/nodes/"+node+"/proxy/metrics")
	if !strings.Contains(own, "kedge_link_bytes_total{direction=") {
		t.Error("the node's metrics lack its link")
	}
}
