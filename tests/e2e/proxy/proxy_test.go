// Package proxy is the scenario in README.md.
package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/lab/proxies"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

func topology() lab.Topology {
	t := lab.ServerAndEdges(2)
	t.Sites = append(t.Sites, lab.Site{Name: "dmz", Public: true, Hosts: []string{"connect", "front"}})
	return t
}

func TestNodesBehindProxies(t *testing.T) {
	c := cluster.New(t, topology(), cluster.Options{NoJoin: true, Bare: []string{"connect", "front"}})
	connect, front := c.Lab.Host("connect"), c.Lab.Host("front")
	through, err := proxies.Connect(connect, ":3128", c.Server.Host.IP)
	cluster.Must(t, err)
	t.Cleanup(through.Close)
	balancer, _, err := proxies.Terminate(front, ":443", net.JoinHostPort(c.Server.Host.IP(), "6443"))
	cluster.Must(t, err)
	t.Cleanup(balancer.Close)
	cluster.Must(t, c.Lab.Site("site1").OnlyTo(netip.MustParseAddr(connect.IP())))
	cluster.Must(t, c.Lab.Site("site2").OnlyTo(netip.MustParseAddr(front.IP())))

	byConnect, byFront := c.Agents[0], c.Agents[1]
	byConnect.Env = []string{"HTTPS_PROXY=http://" + connect.IP() + ":3128"}
	c.Join(t, byConnect)
	c.JoinAt(t, byFront, "https://front."+lab.Zone)
	c.WaitNodes(t)
	for _, n := range c.Agents {
		c.CreatePod(t, cluster.AppPod("web-"+n.Name(), n.Name()))
	}
	for _, n := range c.Agents {
		t.Run(n.Name(), func(t *testing.T) { works(t, c, "web-"+n.Name()) })
	}
	t.Run("pods", func(t *testing.T) { pods(t, c) })
	if n := through.Carried(); n == 0 {
		t.Errorf("the CONNECT proxy carried nothing and refused %d", through.Refused())
	}
	if n := balancer.Carried(); n == 0 {
		t.Errorf("the balancer carried nothing and refused %d", balancer.Refused())
	}
	t.Logf("CONNECT proxy: %d tunnels, %d refused; balancer: %d requests, %d refused",
		through.Carried(), through.Refused(), balancer.Carried(), balancer.Refused())
}

// works looks at a pod through the link.
func works(t *testing.T, c *cluster.Cluster, pod string) {
	c.WaitPods(t, "default", "app="+pod, 1)
	testx.Eventually(t, cluster.Patience, "the log is read", func(ctx context.Context) error {
		out, err := c.TryKubectl(ctx, "logs", pod)
		if err == nil && !strings.Contains(out, "serving on :8080") {
			err = errors.New("the log is " + out)
		}
		return err
	})
	if out := c.Kubectl(t, "exec", pod, "--", "get", "http://127.0.0.1:8080/hostname"); strings.TrimSpace(out) != pod {
		t.Errorf("the pod says it is %q", out)
	}
	// Whoever asks the API without TLS is told so, by the server: the service leads there.
	out, err := c.TryKubectl(t.Context(), "exec", pod, "--", "get", "http://10.43.0.1:443/")
	if err == nil || !strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("the service kubernetes answers %q, %v", out, err)
	}
	const size, there, back = "20000000", "/data/file", "/var/lib/back"
	c.Kubectl(t, "exec", pod, "--", "fill", there, size)
	c.Kubectl(t, "cp", pod+":"+there, back)
	want := strings.TrimSpace(c.Kubectl(t, "exec", pod, "--", "sum", there))
	got, errOut, err := c.Server.Host.Run(t.Context(), "sha256sum", back)
	if err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("a file with sum %s came back, want %s: %v %s", got, want, err, errOut)
	}
}

// pods shows that the pods of both sites reach each other.
func pods(t *testing.T, c *cluster.Cluster) {
	one := &c.WaitPods(t, "default", "app=web-edge1", 1)[0]
	two := &c.WaitPods(t, "default", "app=web-edge2", 1)[0]
	for _, pair := range [][2]*corev1.Pod{{one, two}, {two, one}} {
		testx.Eventually(t, cluster.Patience, pair[0].Name+" reaches "+pair[1].Name, func(ctx context.Context) error {
			to := pair[1].Status.PodIP
			results, err := c.Checks(ctx, pair[0], []cluster.Check{
				{Kind: "hostname", To: to + ":8080", Seconds: 5}, {Kind: "ping", To: to, Bytes: 56, Seconds: 5},
				{Kind: "put", To: to + ":8080", Bytes: 1 << 20, Seconds: 20}, {Kind: "dns", To: "kubernetes.default", Seconds: 5},
			})
			if err != nil {
				return err
			}
			for _, r := range results {
				if !r.Worked {
					err = errors.Join(err, errors.New(r.Error))
				}
			}
			return err
		})
	}
}
