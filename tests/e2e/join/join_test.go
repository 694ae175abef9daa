// Package join is the scenario in README.md.
package join

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func TestNodesBehindNAT(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(2), cluster.Options{ServerArgs: []string{"--disable-agent"}})
	for _, a := range c.Agents {
		c.CreatePod(t, cluster.AppPod("web-"+a.Name(), a.Name()))
		c.CreatePod(t, echoPod("echo-"+a.Name(), a.Name()))
	}
	for _, a := range c.Agents {
		t.Run(a.Name(), func(t *testing.T) {
			web, echo := "web-"+a.Name(), "echo-"+a.Name()
			c.WaitPods(t, "default", "app="+web, 1)
			c.WaitPods(t, "default", "app="+echo, 1)
			t.Run("nothing listens for the outside", func(t *testing.T) { closed(t, a.Host) })
			t.Run("logs", func(t *testing.T) { logs(t, c, web) })
			t.Run("exec", func(t *testing.T) { exec(t, c, web) })
			t.Run("attach", func(t *testing.T) { attach(t, c, echo) })
			t.Run("cp", func(t *testing.T) { cp(t, c, web) })
			t.Run("port-forward", func(t *testing.T) { portForward(t, c, web) })
			t.Run("link", func(t *testing.T) { link(t, c, a) })
		})
	}
}

// echoPod reads from whoever attaches first, and ends with them.
func echoPod(name, node string) *corev1.Pod {
	pod := cluster.AppPod(name, node, "echo")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers[0].Stdin, pod.Spec.Containers[0].StdinOnce = true, true
	return pod
}

func logs(t *testing.T, c *cluster.Cluster, pod string) {
	testx.Eventually(t, cluster.Patience, "the log holds the first line", func(ctx context.Context) error {
		out, err := c.TryKubectl(ctx, "logs", pod)
		if err == nil && !strings.Contains(out, "serving on :8080") {
			err = fmt.Errorf("the log is %q", out)
		}
		return err
	})
}

func exec(t *testing.T, c *cluster.Cluster, pod string) {
	out := c.Kubectl(t, "exec", pod, "--", "get", "http://127.0.0.1:8080/hostname")
	if strings.TrimSpace(out) != pod {
		t.Errorf("the pod says it is %q", out)
	}
	// The exit code of the program comes back.
	_, err := c.TryKubectl(t.Context(), "exec", pod, "--", "test", "-d", "/not/there")
	if cluster.ExitCode(err) != 1 {
		t.Errorf("got %v, want exit code 1", err)
	}
}

func attach(t *testing.T, c *cluster.Cluster, pod string) {
	out, err := c.Server.KedgeInput(t.Context(), []byte("hello\nbye\n"), "kubectl", "attach", "-i", pod)
	if err != nil || !strings.Contains(out, "echo: hello\necho: bye\n") {
		t.Errorf("got %q, %v", out, err)
	}
}

// cp copies 100 MB to the pod and back, with check sums on the way.
func cp(t *testing.T, c *cluster.Cluster, pod string) {
	const there, back, inPod = "/var/lib/there", "/var/lib/back", "/data/file"
	run(t, c, "sh", "-c", "head -c 100000000 /dev/urandom > "+there)
	want := sum(t, c, there)
	c.Kubectl(t, "cp", there, pod+":"+inPod)
	if got := strings.TrimSpace(c.Kubectl(t, "exec", pod, "--", "sum", inPod)); got != want {
		t.Fatalf("the pod has a file with sum %s, want %s", got, want)
	}
	c.Kubectl(t, "cp", pod+":"+inPod, back)
	if got := sum(t, c, back); got != want {
		t.Errorf("a file with sum %s came back, want %s", got, want)
	}
	run(t, c, "rm", there, back)
}

func run(t *testing.T, c *cluster.Cluster, argv ...string) string {
	t.Helper()
	out, errOut, err := c.Server.Host.Run(t.Context(), argv...)
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, errOut)
	}
	return out
}

func sum(t *testing.T, c *cluster.Cluster, file string) string {
	t.Helper()
	return strings.Fields(run(t, c, "sha256sum", file))[0]
}

func portForward(t *testing.T, c *cluster.Cluster, pod string) {
	const bytes = 20_000_000
	h := c.Server.Host
	p, err := h.Start("port-forward-"+pod, "kedge", "kubectl", "port-forward", pod, "18080:8080")
	cluster.Must(t, err)
	defer func() { _ = p.Kill() }()
	cluster.Get(t, h, "http://127.0.0.1:18080/hostname", pod)
	body, err := cluster.Fetch(t.Context(), cluster.HTTP(h), http.MethodGet, "http://127.0.0.1:18080/bytes/"+strconv.Itoa(bytes))
	if err != nil || len(body) != bytes {
		t.Errorf("%d bytes came, want %d: %v", len(body), bytes, err)
	}
}

// ofServices are the addresses on lo that only pods and the host reach.
var ofServices = netip.MustParsePrefix("10.43.0.0/16")

// closed looks for listening TCP sockets that somebody outside the host could reach.
func closed(t *testing.T, h *lab.Host) {
	sockets, err := h.Listeners()
	cluster.Must(t, err)
	for _, s := range sockets {
		if !s.Addr().IsLoopback() && !ofServices.Contains(s.Addr()) {
			t.Errorf("something listens on %s", s)
		}
	}
}
