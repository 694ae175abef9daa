// Package identity is the scenario in README.md.
package identity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const tokenFile = "/etc/kedge/token"

// shop is the name that two machines want.
const shop = "shop"

func TestTokensAndNames(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(2), cluster.Options{ServerArgs: []string{"--disable-agent"}, NoJoin: true})
	first, second := c.Agents[0], c.Agents[1]

	once := c.Token(t, "--uses", "1", "--description", "for the shop")
	start(t, c, first, shop, once)
	c.WaitNode(t, shop, corev1.ConditionTrue)

	list := kedge(t, c, "token", "list")
	if !strings.Contains(list, "for the shop") || strings.Contains(list, secretOf(once)) {
		t.Errorf("token list must show the description and never a secret:\n%s", list)
	}
	refused(t, c, second, "till", once, "token create")

	deleted := c.Token(t)
	kedge(t, c, "token", "delete", idOf(deleted))
	refused(t, c, second, "till", deleted, "token create")

	old := c.Token(t)
	rotated := lastLine(kedge(t, c, "token", "rotate"))
	refused(t, c, second, "till", old, "token create")

	refused(t, c, second, shop, rotated, "kedge node replace "+shop)
	kedge(t, c, "node", "replace", shop)
	tunnelIsRefused(t, first)
	start(t, c, second, shop, rotated)
	_, err := second.Kedge(t.Context(), "status", "--wait", "2m")
	cluster.Must(t, err)
	formerIsRefused(t, first)
}

// start runs the agent of n under a name.
func start(t *testing.T, c *cluster.Cluster, n *cluster.Node, name, token string) {
	t.Helper()
	n.Args = arguments(t, c, n, name, token)
	cluster.Must(t, n.Start())
}

func arguments(t *testing.T, c *cluster.Cluster, n *cluster.Node, name, token string) []string {
	t.Helper()
	cluster.Must(t, n.Host.WriteFile(tokenFile, []byte(token+"\n"), 0o600))
	return []string{"agent", "--server", c.URL(), "--token-file", tokenFile, "--node-name", name, "--cgroup-root", n.Host.CgroupRoot()}
}

// refused runs an agent that must end by itself with the remedy and leave no
// identity behind.
func refused(t *testing.T, c *cluster.Cluster, n *cluster.Node, name, token, remedy string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	_, err := n.Kedge(ctx, arguments(t, c, n, name, token)...)
	if err == nil || !strings.Contains(err.Error(), remedy) {
		t.Errorf("joining as %s: %v, want a refusal that names %q", name, err, remedy)
	}
	if err != nil && strings.Contains(err.Error(), secretOf(token)) {
		t.Errorf("the refusal shows the token: %v", err)
	}
	if n.Host.Exists("/var/lib/kedge/agent/kubelet.kubeconfig") {
		t.Error("a refused node has a kubeconfig")
	}
}

// tunnelIsRefused waits until the open link of a machine that lost its name was
// ended and it was told why, before anybody else has taken the name.
func tunnelIsRefused(t *testing.T, n *cluster.Node) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the former machine's tunnel is cut", func(context.Context) error {
		log, err := os.ReadFile(n.Proc().Log())
		if err == nil && !strings.Contains(string(log), "another machine has replaced this one") {
			err = errors.New("it was not refused yet")
		}
		return err
	})
}

// formerIsRefused asks the API with the certificate of the machine that lost
// its name.
func formerIsRefused(t *testing.T, n *cluster.Node) {
	t.Helper()
	config, err := cluster.RESTConfig(n.Host, "/var/lib/kedge/agent/kubelet.kubeconfig")
	cluster.Must(t, err)
	client, err := kubernetes.NewForConfig(config)
	cluster.Must(t, err)
	testx.Eventually(t, cluster.Patience, "the former machine is refused", func(ctx context.Context) error {
		_, err := client.CoreV1().Nodes().Get(ctx, shop, metav1.GetOptions{})
		switch {
		case err == nil:
			return errors.New("its certificate still opens the API")
		case !apierrors.IsUnauthorized(err):
			return fmt.Errorf("want 401: %w", err)
		}
		return nil
	})
}

func kedge(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	out, err := c.Server.Kedge(t.Context(), args...)
	cluster.Must(t, err)
	return out
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// A token is K1HASH::ID.SECRET.
func idOf(token string) string {
	_, rest, _ := strings.Cut(token, "::")
	id, _, _ := strings.Cut(rest, ".")
	return id
}

func secretOf(token string) string { return token[strings.LastIndex(token, ".")+1:] }
