// Package certificates is the scenario in README.md.
package certificates

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// setting is how long something takes, from the environment where it is set there.
func setting(t *testing.T, name, value string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("KEDGE_CERTIFICATES_"+name), value))
	cluster.Must(t, err)
	return d
}

func TestNothingFailsWhileCertificatesEnd(t *testing.T) {
	life, loaded, off := setting(t, "LIFE", "30s"), setting(t, "LOAD", "50s"), setting(t, "OFF", "35s")
	c := cluster.New(t, lab.ServerAndEdges(3), cluster.Options{ServerArgs: []string{"--certificate-lifetime", life.String()}})
	for _, n := range c.Agents {
		c.CreatePod(t, cluster.AppPod("app-"+n.Name(), n.Name()))
	}
	for _, n := range c.Agents {
		podOf(t, c, n)
	}
	before, containers := certificates(t, c), c.Containers(t)

	began := time.Now()
	load := startLoad(t, c)
	leaves := make(chan error, 1)
	go func() { leaves <- offBeyondTheEnd(t.Context(), c.Agents[2], off) }()
	<-time.After(loaded)
	load.stop()
	load.report(t, began)
	cluster.Must(t, <-leaves)
	back := time.Now()
	c.WaitAlive(t, c.Agents[2], back, "app-"+c.Agents[2].Name())
	allRenewed(t, before, certificates(t, c), loaded/life)
	c.SameContainers(t, containers)
	running(t, c)
	if t.Failed() {
		return
	}
	wrongClocks(t, c)
	c.SameContainers(t, containers)
	revoked(t, c, c.Agents[2])
	c.SameContainers(t, containers)
}

// running fails the test where a daemon has ended.
func running(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, n := range append([]*cluster.Node{c.Server}, c.Agents...) {
		select {
		case <-n.Proc().Done():
			t.Errorf("kedge on %s has ended", n.Name())
		default:
		}
	}
}

// offBeyondTheEnd stops an agent for so long that its certificate ends, and starts it
// without a token.
func offBeyondTheEnd(ctx context.Context, n *cluster.Node, off time.Duration) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	n.Args = withoutToken(n.Args)
	<-time.After(off)
	cert, err := pki.ReadCert(n.Host.Path(agentTLS + "client-kubelet.crt"))
	if err == nil && time.Now().Before(cert.NotAfter) {
		err = fmt.Errorf("the certificate of %s is good until %s", n.Name(), cert.NotAfter)
	}
	return errors.Join(err, n.Start())
}

func withoutToken(args []string) []string {
	at := slices.Index(args, "--token-file")
	if at < 0 {
		return args
	}
	return slices.Delete(slices.Clone(args), at, at+2)
}

const (
	agentTLS  = "/var/lib/kedge/agent/tls/"
	serverTLS = "/var/lib/kedge/server/tls/"
)

// certificates are the leaves of all machines, by machine and file.
func certificates(t *testing.T, c *cluster.Cluster) map[string]*x509.Certificate {
	t.Helper()
	found := map[string]*x509.Certificate{}
	add := func(n *cluster.Node, path string) {
		cert, err := pki.ReadCert(n.Host.Path(path))
		cluster.Must(t, err)
		found[n.Name()+":"+path] = cert
	}
	for _, n := range append([]*cluster.Node{c.Server}, c.Agents...) {
		for _, name := range []string{"client-kubelet", "serving-kubelet", "client-kube-proxy", "client-kedge-agent"} {
			add(n, agentTLS+name+".crt")
		}
	}
	// The API server as a client of kubelets is not among them: it lives as long as its authority (ADR 34).
	for _, name := range []string{
		"serving-kube-apiserver", "client-admin", "client-controller-manager", "client-scheduler", "client-supervisor", "client-auth-proxy",
	} {
		add(c.Server, serverTLS+name+".crt")
	}
	return found
}

// allRenewed fails the test where a certificate is the same as before, or has ended.
func allRenewed(t *testing.T, before, now map[string]*x509.Certificate, lives time.Duration) {
	t.Helper()
	for name, cert := range now {
		if bytes.Equal(cert.Raw, before[name].Raw) {
			t.Errorf("%s was not renewed in %d lives", name, lives)
		}
		if time.Now().After(cert.NotAfter) {
			t.Errorf("%s has ended at %s", name, cert.NotAfter)
		}
	}
}

// podOf is the pod of the application on a node.
func podOf(t *testing.T, c *cluster.Cluster, n *cluster.Node) *corev1.Pod {
	t.Helper()
	return &c.WaitPods(t, "default", "app=app-"+n.Name(), 1)[0]
}

// lines are those of a daemon's log that hold all words.
func lines(n *cluster.Node, words ...string) (found []string) {
	log, err := os.ReadFile(n.Proc().Log())
	if err != nil {
		return []string{err.Error()}
	}
next:
	for line := range strings.Lines(string(log)) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		found = append(found, fmt.Sprintf("%s: %s", n.Name(), strings.TrimSpace(line)))
	}
	return found
}
