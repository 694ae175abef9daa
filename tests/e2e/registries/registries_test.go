// Package registries is the scenario in README.md.
package registries

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/depot"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	// image is a name of which only its rewritten form exists, in the depot.
	image = "registry.test/library/app:1"
	// bundled is the same by a tag that no node has.
	bundled = "registry.test/library/app:2"
	file    = "/etc/kedge/registries.yaml"
)

func topology() lab.Topology {
	t := lab.ServerAndEdges(1)
	t.Sites = append(t.Sites, lab.Site{Name: "vendor", Public: true, Hosts: []string{"depot"}})
	return t
}

func TestPrivateRegistryAndSitesWithoutOne(t *testing.T) {
	c := cluster.New(t, topology(), cluster.Options{Bare: []string{"depot"}})
	d := startDepot(t, c.Lab.Host("depot"))
	server, edge := c.Server, c.Agents[0]
	cluster.Must(t, c.Lab.Site("site1").OnlyTo(netip.MustParseAddr(server.Host.IP())))
	cluster.Must(t, server.Host.WriteFile("/etc/kedge/depot.crt", d.CA, 0o644))

	c.CreatePod(t, pod("private", "server", image))
	waitReason(t, c, "private", "registry.test")
	before := runtimeOf(t, server)
	cluster.Must(t, server.Host.WriteFile(file, []byte(settings(d)), 0o600))
	c.WaitPods(t, "default", "app=private", 1)
	if now := runtimeOf(t, server); now != before {
		t.Errorf("containerd was started again: %s, now %s", before, now)
	}

	mistake := strings.Replace(settings(d), "endpoint:", "endpoints:", 1)
	cluster.Must(t, server.Host.WriteFile(file, []byte(mistake), 0o600))
	waitTold(t, c)

	// The former settings are in force.
	archive, err := server.Kedge(t.Context(), "image", "bundle", "--file", "-", bundled)
	cluster.Must(t, err)
	if out, err := server.Kedge(t.Context(), "image", "list"); err != nil || strings.Contains(out, bundled) || !strings.Contains(out, image) {
		t.Errorf("images of the server: %v\n%s", err, out)
	}
	out, err := edge.KedgeInput(t.Context(), []byte(archive), "image", "import", "-")
	if err != nil || strings.TrimSpace(out) != bundled {
		t.Fatalf("import: %q, %v", out, err)
	}
	c.CreatePod(t, pod("carried", edge.Name(), bundled))
	c.WaitPods(t, "default", "app=carried", 1)

	cluster.Must(t, os.Remove(server.Host.Path(file)))
	testx.Eventually(t, cluster.Patience, "the settings are taken away", func(ctx context.Context) error {
		out, _, err := server.Host.Run(ctx, "find", "/var/lib/kedge/agent/etc", "-name", "hosts.toml", "-o", "-name", "*last-good*")
		if err == nil && out != "" {
			err = errors.New("there is " + out)
		}
		return err
	})
}

// startDepot runs a registry on h that has the application.
func startDepot(t *testing.T, h *lab.Host) *depot.Depot {
	t.Helper()
	program, err := depot.Build(t.Context())
	cluster.Must(t, err)
	const dir = "/var/lib/depot"
	d, err := depot.New(net.JoinHostPort(h.IP(), "5000"), dir)
	cluster.Must(t, err)
	for name, data := range d.Files {
		cluster.Must(t, h.WriteFile(path.Join(dir, name), data, 0o600))
	}
	text, err := os.ReadFile(program)
	cluster.Must(t, err)
	cluster.Must(t, h.WriteFile(dir+"/registry", text, 0o755))
	_, err = h.Start("depot", append([]string{dir + "/registry"}, d.Args()...)...)
	cluster.Must(t, err)
	client := d.Client(h.DialContext)
	testx.Eventually(t, cluster.Patience, "the registry answers", client.Ready)
	app, err := cluster.Archive(t.Context(), "depot.test/app:1")
	cluster.Must(t, err)
	for _, tag := range []string{"1", "2"} {
		cluster.Must(t, client.Push(t.Context(), app, "site/app", tag))
	}
	return d
}

func settings(d *depot.Depot) string {
	return fmt.Sprintf(`mirrors:
  registry.test:
    endpoint: ["https://%s"]
    rewrite:
      "^library/(.*)": "site/$1"
configs:
  %q:
    auth: {username: %s, password: %s}
    tls: {ca_file: /etc/kedge/depot.crt}
`, d.Address, d.Address, depot.User, depot.Password)
}

func pod(name, node, image string) *corev1.Pod {
	p := cluster.AppPod(name, node)
	p.Spec.Containers[0].Image, p.Spec.Containers[0].ImagePullPolicy = image, corev1.PullIfNotPresent
	return p
}

// waitReason waits until the pod says that it cannot be pulled, with that word.
func waitReason(t *testing.T, c *cluster.Cluster, name, word string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, name+" cannot be pulled", func(ctx context.Context) error {
		p, err := c.Client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, s := range p.Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil && strings.Contains(w.Reason, "Image") && strings.Contains(w.Message, word) {
				return nil
			}
		}
		return fmt.Errorf("it says %+v", p.Status.ContainerStatuses)
	})
}

// runtimeOf is the process of a node's containerd.
func runtimeOf(t *testing.T, n *cluster.Node) string {
	t.Helper()
	record, err := n.Host.ReadFile("/run/kedge/containerd.json")
	cluster.Must(t, err)
	return string(record)
}

// waitTold waits until the mistake is in the status and in an event.
func waitTold(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	const want = file + `:3: mirrors: "registry.test": unknown key "endpoints", did you mean "endpoint"?`
	testx.Eventually(t, cluster.Patience, "the mistake is told", func(ctx context.Context) error {
		status, _ := c.Server.Kedge(ctx, "status") // it fails while something is degraded
		events, err := c.TryKubectl(ctx, "get", "events", "--all-namespaces", "-o", "custom-columns=R:.reason,M:.message")
		switch {
		case err != nil:
			return err
		case !strings.Contains(status, want):
			return errors.New("the status is " + status)
		case !strings.Contains(events, "RegistrySettingsWrong") || !strings.Contains(events, want):
			return errors.New("the events are " + events)
		case strings.Contains(status+events, depot.Password):
			t.Error("the password is told")
		}
		return nil
	})
}
