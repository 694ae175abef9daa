package certificates

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/server/rotation"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// TestAuthoritiesAreReplacedUnderway replaces all authorities while one node works,
// one is off, one joins with a token of before, and one is off until all is over; the
// server is killed meanwhile.
func TestAuthoritiesAreReplacedUnderway(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(4), cluster.Options{NoJoin: true})
	here, away, late, lost := c.Agents[0], c.Agents[1], c.Agents[2], c.Agents[3]
	for _, n := range []*cluster.Node{here, away, lost} {
		c.Join(t, n)
		c.CreatePod(t, cluster.AppPod("app-"+n.Name(), n.Name()))
	}
	c.WaitNodes(t)
	for _, n := range []*cluster.Node{here, away, lost} {
		podOf(t, c, n)
	}
	cluster.Must(t, lost.Stop(t.Context()))
	token, former := c.Token(t), authorities(t, c)
	cluster.Must(t, away.Stop(t.Context()))

	cert(t, c, "rotate-ca")
	cluster.Must(t, c.Server.Kill())
	cluster.Must(t, c.Server.Start())
	c.Connect(t)
	waitReady(t, c, here)
	if out, err := c.Server.Kedge(t.Context(), "cert", "rotate-ca", "finish"); err == nil || !strings.Contains(err.Error(), away.Name()) {
		t.Fatalf("finish says %q, %v; it should name %s, which is off", out, err, away.Name())
	}

	cluster.Must(t, late.Host.WriteFile("/etc/kedge/token", []byte(token+"\n"), 0o600))
	late.Args = append(late.Args, "--server", c.URL(), "--token-file", "/etc/kedge/token")
	cluster.Must(t, late.Start())
	c.CreatePod(t, cluster.AppPod("app-"+late.Name(), late.Name()))
	back := time.Now()
	cluster.Must(t, away.Start())
	c.WaitAlive(t, away, back, "app-"+away.Name())
	for _, n := range []*cluster.Node{here, away, late} {
		waitReady(t, c, n)
		podOf(t, c, n)
	}
	containers := c.Containers(t)

	// Nobody here waits five minutes, nor for who is lost.
	cert(t, c, "rotate-ca", "finish", "--force")
	c.Connect(t)
	podsAreTold(t, c, former)
	cluster.Must(t, here.Kill())
	cluster.Must(t, here.Start())
	cluster.Must(t, lost.Host.WriteFile("/etc/kedge/token", []byte(c.Token(t)+"\n"), 0o600))
	cluster.Must(t, lost.Start())
	for _, n := range []*cluster.Node{c.Server, away} {
		_, err := n.Kedge(t.Context(), "cert", "rotate", "--new-keys")
		cluster.Must(t, err)
	}
	forgotten := time.Now()
	for _, n := range c.Agents {
		c.WaitAlive(t, n, forgotten, "app-"+n.Name())
	}
	c.SameContainers(t, containers)
	for _, n := range append([]*cluster.Node{c.Server}, c.Agents...) {
		_, err := n.Kedge(t.Context(), "cert", "check", "--json")
		cluster.Must(t, err)
		testx.Eventually(t, cluster.Patience, n.Name()+" has forgotten the former authority", func(context.Context) error {
			text, err := os.ReadFile(n.Host.Path(agentTLS + "server-ca.crt"))
			if err == nil && bytes.Contains(text, former) {
				err = fmt.Errorf("it is in %s", agentTLS+"server-ca.crt")
			}
			return err
		})
	}
}

func cert(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	out, err := c.Server.Kedge(t.Context(), append([]string{"cert"}, args...)...)
	cluster.Must(t, err)
	return out
}

// authorities is the server authority as it is now.
func authorities(t *testing.T, c *cluster.Cluster) []byte {
	t.Helper()
	ca, err := pki.ReadCert(c.Server.Host.Path(serverTLS + "server-ca.crt"))
	cluster.Must(t, err)
	return pki.EncodeCert(ca)
}

// waitReady waits until the rotation may end as far as the node is concerned.
func waitReady(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, n.Name()+" knows the next authorities", func(ctx context.Context) error {
		out, err := c.Server.Kedge(ctx, "cert", "rotate-ca", "status", "--json")
		if err != nil {
			return err
		}
		var report rotation.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			return err
		}
		for _, known := range report.Nodes {
			if known.Name == n.Name() && known.Ready {
				return nil
			}
		}
		return fmt.Errorf("not ready: %s", out)
	})
}

// podsAreTold waits until pods find the authority of now, and no other.
func podsAreTold(t *testing.T, c *cluster.Cluster, former []byte) {
	t.Helper()
	now := authorities(t, c)
	if bytes.Equal(now, former) {
		t.Fatal("the authority is the same as before")
	}
	testx.Eventually(t, cluster.Patience, "kube-root-ca.crt is new", func(ctx context.Context) error {
		m, err := c.Client.CoreV1().ConfigMaps(corev1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if err == nil && m.Data["ca.crt"] != string(now) {
			err = fmt.Errorf("it is %q", m.Data["ca.crt"])
		}
		return err
	})
}
