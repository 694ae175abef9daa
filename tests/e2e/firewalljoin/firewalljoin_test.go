// Package firewalljoin is the scenario in README.md.
package firewalljoin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const closed = `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: closed}
spec:
  ingress:
    rules:
    - {name: fleet, action: allow, peers: [{cluster: true}]}
    default: deny
`

// roamed is the address that the site of edge2 gets later.
var roamed = netip.MustParseAddr("198.51.100.222")

func TestJoiningAClosedCluster(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(3), cluster.Options{NoJoin: true})
	edge1, edge2, stranger := c.Node("edge1"), c.Node("edge2"), c.Node("edge3")
	c.Join(t, edge1)
	c.WaitNode(t, "edge1", corev1.ConditionTrue)
	serve(t, c.Server.Host)
	reaches(t, c, stranger, true)
	c.Apply(t, closed)
	c.WaitEnforced(t, "closed")
	reaches(t, c, stranger, false)
	reaches(t, c, edge2, false)
	t.Run("a stranger's kubectl is refused", func(t *testing.T) { refused(t, c, stranger) })

	wan := c.Lab.Site("site2").WAN()
	began := time.Now()
	c.Join(t, edge2)
	c.WaitNode(t, "edge2", corev1.ConditionTrue)
	t.Logf("edge2 was Ready %s after its start", time.Since(began).Round(time.Millisecond))
	known(t, wan, true, c.Server, edge1)
	reaches(t, c, edge2, true)
	known(t, wan, true, c.Server, edge1, edge2)
	annotated(t, c, wan)
	t.Run("a node cannot say where it comes from", func(t *testing.T) { noClaim(t, c) })
	t.Run("figures", func(t *testing.T) { figures(t, c) })

	began = time.Now()
	cluster.Must(t, c.Lab.Site("site2").Readdress(roamed))
	known(t, roamed, true, c.Server, edge1, edge2)
	t.Logf("all sets had the new address %s after the site got it", time.Since(began).Round(time.Millisecond))
	reaches(t, c, edge2, true)
	annotated(t, c, roamed)
	known(t, wan, false, c.Server, edge1, edge2)
	c.WaitNode(t, "edge2", corev1.ConditionTrue)

	t.Run("the server starts anew", func(t *testing.T) { restarted(t, c, stranger, edge1, edge2) })

	c.Kubectl(t, "delete", "node", "edge2")
	began = time.Now()
	known(t, roamed, false, c.Server, edge1)
	t.Logf("no set had the address %s after the node was deleted", time.Since(began).Round(time.Millisecond))
	reaches(t, c, edge2, false)
	remains(t, c, edge2)
	inOrder(t, c.Server, edge1)
}

// port is where something listens on the server's host.
const port = "8099"

func serve(t *testing.T, h *lab.Host) {
	t.Helper()
	l, err := h.Listen("tcp", ":"+port)
	cluster.Must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
}

// reaches waits until a host reaches the server, or does not, by real packets.
func reaches(t *testing.T, c *cluster.Cluster, n *cluster.Node, want bool) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("%s reaches the server: %t", n.Name(), want), func(ctx context.Context) error {
		err := greeted(ctx, c, n)
		var timeout net.Error
		switch {
		case want || err == nil:
			if want != (err == nil) {
				return fmt.Errorf("it is the other way round: %w", err)
			}
			return nil
		case errors.As(err, &timeout) && timeout.Timeout():
			return nil // dropped
		default:
			return err
		}
	})
}

// greeted connects to the server and is greeted.
func greeted(ctx context.Context, c *cluster.Cluster, n *cluster.Node) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := n.Host.DialContext(ctx, "tcp", net.JoinHostPort(c.Server.Host.IP(), port))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	word := make([]byte, 5)
	if _, err := conn.Read(word); err != nil || string(word) != "hello" {
		return fmt.Errorf("it said %q: %w", word, err)
	}
	return nil
}

// refused gives a host the administrator's kubeconfig and has it ask.
func refused(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	out, err := kubectl(t, c, n, "get", "nodes")
	if err == nil {
		t.Fatalf("a stranger got %q", out)
	}
	for _, word := range []string{"Forbidden", c.Lab.Site("site3").WAN().String(), "6443", `default of EdgeFirewall "closed"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the refusal does not say %s: %v", word, err)
		}
	}
	// The paths by which a machine joins stay open to everybody.
	if out, err := kubectl(t, c, n, "get", "--raw", "/v1-kedge/ping"); err != nil || strings.TrimSpace(out) != "ok" {
		t.Errorf("ping: %q, %v", out, err)
	}
}

// restarted kills the server. When it answers again, strangers are kept out from
// the first answer on, and nodes are known.
func restarted(t *testing.T, c *cluster.Cluster, stranger *cluster.Node, nodes ...*cluster.Node) {
	t.Helper()
	cluster.Must(t, c.Server.Kill())
	cluster.Must(t, c.Server.Start())
	testx.Eventually(t, cluster.Patience, "the server keeps a stranger out", func(context.Context) error {
		out, err := kubectl(t, c, stranger, "get", "--raw", "/version")
		if err == nil {
			t.Fatalf("a stranger was let in at the start: %s", out)
		}
		if !strings.Contains(err.Error(), "the edge firewall keeps") {
			return err
		}
		return nil
	})
	c.Connect(t)
	c.WaitEnforced(t, "closed")
	known(t, c.Lab.Site("site1").WAN(), true, append(nodes, c.Server)...)
	known(t, roamed, true, append(nodes, c.Server)...)
	for _, n := range nodes {
		reaches(t, c, n, true)
		c.WaitNode(t, n.Name(), corev1.ConditionTrue)
	}
}

// kubectl is the administrator's, run on a host.
func kubectl(t *testing.T, c *cluster.Cluster, n *cluster.Node, args ...string) (string, error) {
	t.Helper()
	const file = "/root/admin.yaml"
	config, err := c.Server.Host.ReadFile("/etc/kedge/kedge.yaml")
	cluster.Must(t, err)
	cluster.Must(t, n.Host.WriteFile(file, bytes.ReplaceAll(config, []byte("127.0.0.1"), []byte(c.Server.Host.IP())), 0o600))
	return n.Kedge(t.Context(), append([]string{"kubectl", "--kubeconfig", file}, args...)...)
}

// noClaim tries to write what only servers write, with the rights of a node.
func noClaim(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	const (
		claim = `{"metadata":{"annotations":{"kedge.io/public-address":"192.0.2.66"}}}`
		empty = `{"metadata":{"annotations":{"kedge.io/public-address":null}}}`
		label = `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true"}}}`
	)
	for _, try := range []struct{ user, group, patch, refusal string }{
		{"system:node:edge2", "system:nodes", claim, "kedge-node-claims"},
		{"system:node:edge2", "system:nodes", empty, "kedge-node-claims"},
		{"system:kedge:agent:edge2", "system:kedge:agents", claim, "kedge-node-claims"},
		{"system:kedge:agent:edge2", "system:kedge:agents", label, "kedge-agent-labels"},
	} {
		config := rest.CopyConfig(c.Config)
		config.Impersonate = rest.ImpersonationConfig{UserName: try.user, Groups: []string{try.group}}
		client, err := kubernetes.NewForConfig(config)
		cluster.Must(t, err)
		_, err = client.CoreV1().Nodes().Patch(t.Context(), "edge2", types.MergePatchType, []byte(try.patch), metav1.PatchOptions{}, "status")
		if err == nil || !strings.Contains(err.Error(), try.refusal) {
			t.Errorf("%s by %s: %v", try.patch, try.user, err)
		}
	}
}

// figures looks at what is told of it all.
func figures(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the server's metrics", func(ctx context.Context) error {
		text, err := c.TryKubectl(ctx, "get", "--raw", "/metrics")
		for _, line := range []string{`kedge_firewall_nodes{state="Applied"} 3`, "kedge_firewall_join_seconds_count 2", "kedge_firewall_api_refused_total"} {
			if !strings.Contains(text, line) {
				err = errors.Join(err, fmt.Errorf("they lack %s", line))
			}
		}
		return err
	})
	fleet, err := c.Firewalls(t.Context())
	if err != nil || len(fleet.Nodes) != 3 {
		t.Errorf("the server tells of %+v, %v", fleet, err)
	}
}

// known waits until the rulesets of all these nodes name an address, or until
// none does, and the kernels are as they should be.
func known(t *testing.T, addr netip.Addr, want bool, nodes ...*cluster.Node) {
	t.Helper()
	for _, n := range nodes {
		testx.Eventually(t, cluster.Patience, fmt.Sprintf("the sets of %s have %s: %t", n.Name(), addr, want), func(context.Context) error {
			has, err := member(t, n, addr)
			if err == nil && has != want {
				err = errors.New("not so")
			}
			return err
		})
	}
}

// member looks in the kernel whether any set of the firewall has an address.
func member(t *testing.T, n *cluster.Node, addr netip.Addr) (bool, error) {
	out, errOut, err := n.Host.Run(t.Context(), "ipset", "save")
	if err != nil {
		return false, fmt.Errorf("%w: %s", err, errOut)
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "add" {
			continue
		}
		if p, err := netip.ParsePrefix(f[2]); f[2] == addr.String() || err == nil && p.Contains(addr) {
			return true, nil
		}
	}
	return false, nil
}

// annotated waits until the object of edge2 remembers an address.
func annotated(t *testing.T, c *cluster.Cluster, addr netip.Addr) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "edge2 is annotated with "+addr.String(), func(ctx context.Context) error {
		n, err := c.Client.CoreV1().Nodes().Get(ctx, "edge2", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := n.Annotations["kedge.io/public-address"]; got != addr.String() {
			return fmt.Errorf("it says %q", got)
		}
		return nil
	})
}

// remains looks for a while whether a deleted node stays out, although its agent
// and kubelet run on and come back.
func remains(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_ = testx.Poll(ctx, func(ctx context.Context) error {
		if has, err := member(t, c.Server, roamed); err == nil && has {
			t.Errorf("the deleted node is back in the server's sets")
			return nil
		}
		return errors.New("still out")
	})
	links, err := c.Server.Links(t.Context())
	cluster.Must(t, err)
	for _, l := range links.Links {
		if l.Peer == n.Name() && l.Up {
			return
		}
	}
	t.Errorf("the agent of %s is not connected any more: the test shows nothing", n.Name())
}

// inOrder looks whether the kernels are as the nodes say.
func inOrder(t *testing.T, nodes ...*cluster.Node) {
	t.Helper()
	for _, n := range nodes {
		if lines, err := n.FirewallDifferences(t.Context()); err != nil || lines != "" {
			t.Errorf("the kernel of %s differs: %s, %v", n.Name(), lines, err)
		}
	}
}
