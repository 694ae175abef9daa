package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Patience bounds every wait. It is meant for a busy machine, not as a promise of speed.
const Patience = 3 * time.Minute

const (
	kubeconfig = "/etc/kedge/kedge.yaml"
	tokenFile  = "/etc/kedge/token"
)

// Options change how a cluster starts.
type Options struct {
	// ServerArgs and AgentArgs are added to the command lines.
	ServerArgs, AgentArgs []string
	// DataDir is where ServerArgs put the data; empty for the default.
	DataDir string
	// NoJoin leaves the agents to the test.
	NoJoin bool
	// Bare are hosts that run no kedge.
	Bare []string
	// URL is what agents are told to join; empty for the server's address.
	URL string
	// BeforeStart is called for each host when kedge is installed and not yet started.
	BeforeStart func(*lab.Host)
}

// Cluster is a running cluster: the host "server" and agents on all others.
type Cluster struct {
	Lab    *lab.Lab
	Server *Node
	Agents []*Node
	// Config is the administrator's, and dials from inside the server's host.
	Config *rest.Config
	Client *kubernetes.Clientset

	url string
}

// New builds the lab, starts the server and joins the agents. It returns when every node is Ready.
// If the test fails, the state of the cluster is printed before everything is removed.
func New(t testing.TB, topology lab.Topology, o Options) *Cluster {
	t.Helper()
	path := Binary(t)
	c := &Cluster{Lab: lab.New(t, topology), url: o.URL}
	for _, h := range c.Lab.Hosts() {
		if slices.Contains(o.Bare, h.Name()) {
			continue
		}
		Must(t, Install(h, path))
		if o.BeforeStart != nil {
			o.BeforeStart(h)
		}
		Must(t, InstallApp(t.Context(), h, o.DataDir))
		common := []string{"--node-name", h.Name(), "--cgroup-root", h.CgroupRoot()}
		if h.Name() == "server" {
			c.Server = &Node{Host: h, Args: slices.Concat([]string{"server"}, common, o.ServerArgs)}
			continue
		}
		c.Agents = append(c.Agents, &Node{Host: h, Args: slices.Concat([]string{"agent"}, common, o.AgentArgs)})
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.describe())
		}
	})
	Must(t, c.Server.Start())
	c.Connect(t)
	if !o.NoJoin {
		for _, a := range c.Agents {
			c.Join(t, a)
		}
	}
	c.WaitNodes(t)
	return c
}

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Connect waits until the server answers and reads the administrator's kubeconfig.
func (c *Cluster) Connect(t testing.TB) {
	t.Helper()
	testx.Eventually(t, Patience, "the server is ready", func(ctx context.Context) error {
		if err := ended(c.Server); err != nil {
			t.Fatal(err)
		}
		var err error
		if c.Config, err = RESTConfig(c.Server.Host, kubeconfig); err != nil {
			return err
		}
		if c.Client, err = kubernetes.NewForConfig(followed(c.Config, c.Server.Host, kubeconfig)); err != nil {
			return err
		}
		return c.Client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// RESTConfig reads a kubeconfig of a host. The configuration dials from inside that host.
func RESTConfig(h *lab.Host, path string) (*rest.Config, error) {
	text, err := h.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := clientcmd.Load(text)
	if err != nil {
		return nil, err
	}
	if err := inline(h, file); err != nil {
		return nil, err
	}
	config, err := clientcmd.NewDefaultClientConfig(*file, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.Dial = h.DialContext
	config.QPS, config.Burst = 200, 400
	config.Timeout = 30 * time.Second
	return config, nil
}

// inline replaces names of files, which are names on the host, by what is in them.
func inline(h *lab.Host, config *clientcmdapi.Config) error {
	read := func(name *string, data *[]byte) error {
		if *name == "" {
			return nil
		}
		text, err := h.ReadFile(*name)
		*name, *data = "", text
		return err
	}
	var problems []error
	for _, c := range config.Clusters {
		problems = append(problems, read(&c.CertificateAuthority, &c.CertificateAuthorityData))
	}
	for _, u := range config.AuthInfos {
		problems = append(problems, read(&u.ClientCertificate, &u.ClientCertificateData), read(&u.ClientKey, &u.ClientKeyData))
	}
	return errors.Join(problems...)
}

// ended is an error if the node's daemon is not running any more.
func ended(n *Node) error {
	select {
	case <-n.proc.Done():
		return fmt.Errorf("kedge on %s ended: %w (log %s)", n.Name(), n.proc.Wait(context.Background()), n.proc.Log())
	default:
		return nil
	}
}

// URL is what agents are told to join.
func (c *Cluster) URL() string { return cmp.Or(c.url, "https://"+c.Server.Host.IP()+":6443") }

// Token creates a join token.
func (c *Cluster) Token(t testing.TB, args ...string) string {
	t.Helper()
	out, err := c.Server.Kedge(t.Context(), append([]string{"token", "create"}, args...)...)
	Must(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	token := lines[len(lines)-1]
	if !strings.HasPrefix(token, "K1") {
		t.Fatalf("kedge token create printed %q, want a token in the last line", out)
	}
	return token
}

// Join gives the agent a token and starts it.
func (c *Cluster) Join(t testing.TB, n *Node) {
	t.Helper()
	c.JoinAt(t, n, c.URL())
}

// JoinAt is Join with another address of the server.
func (c *Cluster) JoinAt(t testing.TB, n *Node, url string) {
	t.Helper()
	Must(t, n.Host.WriteFile(tokenFile, []byte(c.Token(t)+"\n"), 0o600))
	n.Args = append(n.Args, "--server", url, "--token-file", tokenFile)
	Must(t, n.Start())
}

// nodes lists the daemons that are to be nodes of the cluster and were started.
func (c *Cluster) nodes() []*Node {
	var all []*Node
	for _, n := range append([]*Node{c.Server}, c.Agents...) {
		if n.proc != nil && !slices.Contains(n.Args, "--disable-agent") {
			all = append(all, n)
		}
	}
	return all
}

// WaitNodes waits until every started node is Ready.
func (c *Cluster) WaitNodes(t testing.TB) {
	t.Helper()
	for _, n := range c.nodes() {
		c.WaitNode(t, n.Name(), corev1.ConditionTrue)
	}
}

// WaitNode waits until the node's condition Ready is want, reported by a heartbeat of now where
// want is true.
func (c *Cluster) WaitNode(t testing.TB, name string, want corev1.ConditionStatus) {
	t.Helper()
	testx.Eventually(t, Patience, fmt.Sprintf("node %s has Ready=%s", name, want), func(ctx context.Context) error {
		node, err := c.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, cond := range node.Status.Conditions {
			if cond.Type == corev1.NodeReady && cond.Status == want {
				return nil
			} else if cond.Type == corev1.NodeReady {
				return fmt.Errorf("its condition is Ready=%s: %s: %s", cond.Status, cond.Reason, cond.Message)
			}
		}
		return errors.New("no condition Ready yet")
	})
}

// WaitAlive waits until the node's kubelet has renewed its lease after the time and a command runs
// in one of its pods: it works again, whatever its condition said meanwhile.
func (c *Cluster) WaitAlive(t testing.TB, n *Node, after time.Time, pod string) {
	t.Helper()
	testx.Eventually(t, Patience, n.Name()+" renews its lease", func(ctx context.Context) error {
		if err := ended(n); err != nil {
			t.Fatal(err)
		}
		lease, err := c.Client.CoordinationV1().Leases("kube-node-lease").Get(ctx, n.Name(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if at := lease.Spec.RenewTime; at == nil || !at.After(after) {
			return fmt.Errorf("renewed at %s, want after %s", at, after)
		}
		return nil
	})
	c.WaitNode(t, n.Name(), corev1.ConditionTrue)
	testx.Eventually(t, Patience, "a command runs in pod "+pod, func(ctx context.Context) error {
		_, err := c.TryKubectl(ctx, "exec", pod, "--", "sum", "/app")
		return err
	})
}

// TryKubectl runs the embedded kubectl on the server's host.
func (c *Cluster) TryKubectl(ctx context.Context, args ...string) (string, error) {
	return c.Server.Kedge(ctx, append([]string{"kubectl"}, args...)...)
}

// Kubectl is TryKubectl that must succeed.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	out, err := c.TryKubectl(ctx, args...)
	Must(t, err)
	return out
}

// Apply applies a manifest.
func (c *Cluster) Apply(t testing.TB, manifest string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	_, err := c.Server.KedgeInput(ctx, []byte(manifest), "kubectl", "apply", "-f", "-")
	Must(t, err)
}

// describe is what a person would look at first.
func (c *Cluster) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var b strings.Builder
	for _, n := range append([]*Node{c.Server}, c.Agents...) {
		out, err := n.Kedge(ctx, "status")
		fmt.Fprintf(&b, "==== kedge status on %s (%v)\n%s", n.Name(), err, out)
	}
	for _, args := range [][]string{
		{"get", "nodes", "-o", "wide"},
		{"get", "pods,services,endpointslices", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
	} {
		out, err := c.TryKubectl(ctx, append(args, "--request-timeout=10s")...)
		fmt.Fprintf(&b, "==== kubectl %s (%v)\n%s", strings.Join(args, " "), err, out)
	}
	return b.String()
}
