// Package apis is the scenario in README.md.
package apis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func TestServerReachesNodesBehindNAT(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(2), cluster.Options{ServerArgs: []string{"--disable-agent", "--metrics-resolution", "10s"}})
	for _, a := range c.Agents {
		c.CreatePod(t, cluster.AppPod("web-"+a.Name(), a.Name()))
	}
	one, two := c.Agents[0].Name(), c.Agents[1].Name()
	c.Apply(t, worker)
	guard := provide(t, c, "guard", one, false, 8443)
	things := provide(t, c, "things", two, false, 8443)
	host := provide(t, c, "hostguard", one, true, 9443)
	for _, p := range []provider{guard, things, host} {
		c.WaitPods(t, "default", "app="+p.Name, 1)
	}
	c.Apply(t, render(t, webhook, guard)+"---"+render(t, webhook, host)+"---"+render(t, apiService, things))

	t.Run("webhook in a pod", func(t *testing.T) { decides(t, c, guard, "guard") })
	t.Run("webhook in the network of a host", func(t *testing.T) { decides(t, c, host, one) })
	t.Run("aggregated API", func(t *testing.T) { aggregated(t, c) })
	t.Run("proxy", func(t *testing.T) { proxy(t, c) })
	t.Run("undeclared port", func(t *testing.T) { undeclared(t, c, host) })
	t.Run("top", func(t *testing.T) { top(t, c) })
	t.Run("autoscaler", func(t *testing.T) { scales(t, c) })
}

// decides creates objects that the webhook permits and refuses. By is the host
// name of the pod that must have decided.
func decides(t *testing.T, c *cluster.Cluster, p provider, by string) {
	create := func(ctx context.Context, name, labels string) (string, error) {
		manifest := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, labels: {webhook: %s%s}}", name, p.Name, labels)
		return c.Server.KedgeInput(ctx, []byte(manifest), "kubectl", "create", "-f", "-")
	}
	// A configuration is in force a moment after it was written.
	testx.Eventually(t, cluster.Patience, "the webhook "+p.Name+" refuses", func(ctx context.Context) error {
		_, err := create(ctx, p.Name+"-bad", ", refuse: me")
		if err == nil {
			_, err = c.TryKubectl(ctx, "delete", "configmap", p.Name+"-bad")
			return errors.Join(errors.New("it was created"), err)
		}
		if !strings.Contains(err.Error(), "decided by "+by) {
			return err
		}
		return nil
	})
	if _, err := create(t.Context(), p.Name+"-good", ""); err != nil {
		t.Errorf("the webhook must permit this: %v", err)
	}
}

func aggregated(t *testing.T, c *cluster.Cluster) {
	testx.Eventually(t, cluster.Patience, "the aggregated API answers", func(ctx context.Context) error {
		out, err := c.TryKubectl(ctx, "get", "--raw", "/apis/app.kedge.test/v1/hosts")
		if err == nil && !strings.Contains(out, `"name":"things"`) {
			err = fmt.Errorf("the answer is %s", out)
		}
		return err
	})
	// Discovery knows it, so kubectl does.
	testx.Eventually(t, cluster.Patience, "kubectl knows the aggregated API", func(ctx context.Context) error {
		out, err := c.TryKubectl(ctx, "get", "hosts.app.kedge.test")
		if err == nil && !strings.Contains(out, "things") {
			err = fmt.Errorf("the answer is %s", out)
		}
		return err
	})
}

func proxy(t *testing.T, c *cluster.Cluster) {
	for _, a := range c.Agents {
		if out := c.Kubectl(t, "get", "--raw", "/api/v1/nodes/"+a.Name()+"/proxy/metrics/resource"); !strings.Contains(out, "node_cpu_usage_seconds_total") {
			t.Errorf("the proxy of node %s answers %s", a.Name(), out)
		}
		web := "web-" + a.Name()
		c.WaitPods(t, "default", "app="+web, 1)
		c.Kubectl(t, "expose", "pod", web, "--port", "80", "--target-port", "8080")
		for _, path := range []string{"pods/" + web + ":8080", "services/" + web + ":80"} {
			testx.Eventually(t, cluster.Patience, "the proxy of "+path, func(ctx context.Context) error {
				out, err := c.TryKubectl(ctx, "get", "--raw", "/api/v1/namespaces/default/"+path+"/proxy/hostname")
				if err == nil && strings.TrimSpace(out) != web {
					err = fmt.Errorf("%q answered", out)
				}
				return err
			})
		}
	}
}

// undeclared asks the address of a host for a port that no pod there declares:
// what answers is the node, not the host's network.
func undeclared(t *testing.T, c *cluster.Cluster, p provider) {
	_, err := c.TryKubectl(t.Context(), "get", "--raw", "/api/v1/namespaces/default/pods/"+p.Name+":6444/proxy/")
	if err == nil || !strings.Contains(err.Error(), "refused (access)") {
		t.Errorf("got %v, want the node's refusal", err)
	}
}

func top(t *testing.T, c *cluster.Cluster) {
	has := func(args []string, lines ...string) {
		testx.Eventually(t, cluster.Patience, strings.Join(args, " ")+" has figures", func(ctx context.Context) error {
			out, err := c.TryKubectl(ctx, args...)
			if err != nil {
				return err
			}
			for _, want := range lines {
				if !hasFigures(out, want) {
					return fmt.Errorf("%s is not in\n%s", want, out)
				}
			}
			return nil
		})
	}
	one, two := c.Agents[0].Name(), c.Agents[1].Name()
	has([]string{"top", "nodes", "--no-headers"}, one, two)
	has([]string{"top", "pods", "--no-headers"}, "web-"+one, "web-"+two, "guard", "things", "worker-")
}

// hasFigures looks for a line that starts with name and has CPU and memory.
func hasFigures(out, name string) bool {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasPrefix(fields[0], name) && strings.HasSuffix(fields[1], "m") && !strings.Contains(line, "unknown") {
			return true
		}
	}
	return false
}

func scales(t *testing.T, c *cluster.Cluster) {
	testx.Eventually(t, cluster.Patience, "the autoscaler adds a pod", func(ctx context.Context) error {
		hpa, err := c.Client.AutoscalingV2().HorizontalPodAutoscalers("default").Get(ctx, "worker", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if hpa.Status.DesiredReplicas != 2 {
			return fmt.Errorf("it wants %d: %v", hpa.Status.DesiredReplicas, hpa.Status.Conditions)
		}
		return nil
	})
	c.WaitPods(t, "default", "app=worker", 2)
}
