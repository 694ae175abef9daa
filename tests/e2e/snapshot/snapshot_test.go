// Package snapshot is the scenario in README.md.
package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	name      = "server." + lab.Zone
	tokenFile = "/root/recovery-token"
	archive   = "/root/copy.tar.zst"
)

// closed keeps everybody out of all nodes who is not of the cluster, also of the
// API: who joined after the snapshot is a stranger there.
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

func TestClusterComesBackOnAnotherHostFromOneFile(t *testing.T) {
	topology := lab.ServerAndEdges(3)
	topology.Sites[0].Hosts = append(topology.Sites[0].Hosts, "spare", bucketHost)
	c := cluster.New(t, topology, cluster.Options{
		Bare: []string{"spare", bucketHost}, URL: "https://" + name + ":6443", ServerArgs: []string{"--tls-san", name},
		NoJoin: true,
		BeforeStart: func(h *lab.Host) {
			if h.Name() == "server" {
				configure(t, h)
			}
		},
	})
	serveBucket(t, c.Lab.Host(bucketHost))
	edge3 := c.Agents[2]
	c.Agents = c.Agents[:2]
	for _, n := range c.Agents {
		c.Join(t, n)
	}
	c.WaitNodes(t)
	for _, n := range c.Agents {
		c.CreatePod(t, cluster.AppPod("web-"+n.Name(), n.Name()))
	}
	for _, n := range c.Agents {
		c.WaitPods(t, "default", "app=web-"+n.Name(), 1)
	}
	c.Apply(t, closed)
	c.WaitEnforced(t, "closed")
	put(t, c, "kept", "saved")
	put(t, c, "changed", "saved")

	spare := c.Lab.Host("spare")
	snapshot := save(t, c, spare)
	before := containers(t, c)
	w := watch(t, c)
	late := joinLate(t, c, edge3)
	lost := after(t, c)
	w.await(t, map[string]string{"kept": "", "changed": "lost", "new": "lost"})

	cluster.Must(t, c.Server.Host.PowerOff())
	cluster.Must(t, os.RemoveAll(c.Server.Host.OnDisk("/")))
	begin := time.Now()
	restore(t, c, spare, snapshot)
	c.Lab.SetName("server", netip.MustParseAddr(spare.IP()))
	cluster.Must(t, c.Server.Start())
	c.Connect(t)
	w.moved(spare)
	t.Logf("the API answers %s after the power cut", time.Since(begin).Round(time.Second))

	aliveAgain(t, c)
	t.Logf("both edge nodes work again %s after the power cut", time.Since(begin).Round(time.Second))
	late.back(t, c)
	t.Logf("the one that joined after the snapshot works again %s after the power cut", time.Since(begin).Round(time.Second))
	// So that nothing but the node itself keeps it from registering again.
	c.Kubectl(t, "delete", "edgefirewall", "closed")
	late.deleted(t, c)
	w.await(t, map[string]string{"kept": "saved", "changed": "saved", "new": ""})
	compacted(t, c, lost)
	sameContainers(t, c, before)
	formerServer(t, c)
	put(t, c, "new", "of the restored cluster")
	w.await(t, map[string]string{"kept": "saved", "changed": "saved", "new": "of the restored cluster"})
	late.stays(t, c)
}

func put(t *testing.T, c *cluster.Cluster, name, value string) string {
	t.Helper()
	maps := c.Client.CoreV1().ConfigMaps("default")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"value": value}}
	done, err := maps.Update(t.Context(), object, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		done, err = maps.Create(t.Context(), object, metav1.CreateOptions{})
	}
	cluster.Must(t, err)
	return done.ResourceVersion
}

// saved is one snapshot: a copy of its file on the spare host, and that in the bucket.
type saved struct{ file, remote string }

// save copies snapshot and token to the spare host, where kedge is installed.
func save(t *testing.T, c *cluster.Cluster, spare *lab.Host) saved {
	t.Helper()
	out, err := c.Server.Kedge(t.Context(), "snapshot", "save", "--name", "lab", "-o", "json")
	cluster.Must(t, err)
	var s struct {
		Entry struct{ File, Location string }
	}
	cluster.Must(t, json.Unmarshal([]byte(out), &s))
	if _, err := c.Server.Kedge(t.Context(), "snapshot", "restore", s.Entry.File); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("a restore beside a running server: %v", err)
	}
	file, err := c.Server.Host.ReadFile(s.Entry.Location)
	cluster.Must(t, err)
	token, err := c.Server.Kedge(t.Context(), "snapshot", "token")
	cluster.Must(t, err)
	cluster.Must(t, cluster.Install(spare, cluster.Binary(t)))
	cluster.Must(t, cluster.InstallApp(t.Context(), spare, ""))
	cluster.Must(t, spare.WriteFile(archive, file, 0o600))
	cluster.Must(t, spare.WriteFile(tokenFile, []byte(token), 0o600))
	configure(t, spare)
	return saved{file: archive, remote: "s3://backups/site-7/" + s.Entry.File}
}

// after is what happens after the snapshot. It returns the last revision that a
// client has seen.
func after(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	cluster.Must(t, c.Client.CoreV1().ConfigMaps("default").Delete(t.Context(), "kept", metav1.DeleteOptions{}))
	put(t, c, "changed", "lost")
	c.CreatePod(t, cluster.AppPod("late", c.Agents[0].Name()))
	c.WaitPods(t, "default", "app=late", 1)
	return put(t, c, "new", "lost")
}

// restore makes the spare host the server, from what is in the bucket.
func restore(t *testing.T, c *cluster.Cluster, spare *lab.Host, s saved) {
	t.Helper()
	c.Server = &cluster.Node{Host: spare, Args: []string{"server", "--node-name", spare.Name(), "--cgroup-root", spare.CgroupRoot(), "--tls-san", name}}
	wrong := path.Dir(tokenFile) + "/wrong"
	right, err := spare.ReadFile(tokenFile)
	cluster.Must(t, err)
	text := []byte(strings.TrimSpace(string(right)))
	text[len(text)-1] ^= 1
	if c := text[len(text)-1]; c < 'a' || c > 'z' {
		text[len(text)-1] = 'x'
	}
	cluster.Must(t, spare.WriteFile(wrong, text, 0o600))
	for _, args := range [][]string{{s.file}, {s.file, "--recovery-token-file", wrong}, {s.remote}} {
		if out, err := c.Server.Kedge(t.Context(), append([]string{"snapshot", "restore"}, args...)...); err == nil || !strings.Contains(err.Error(), "recovery token") {
			t.Errorf("restore %q: %s, %v", args, out, err)
		}
	}
	out, err := c.Server.Kedge(t.Context(), "snapshot", "restore", s.remote, "--recovery-token-file", tokenFile)
	cluster.Must(t, err)
	t.Log(out)
}

func aliveAgain(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	now := time.Now()
	for _, n := range c.Agents {
		c.WaitAlive(t, n, now, "web-"+n.Name())
	}
	c.WaitNode(t, c.Server.Name(), corev1.ConditionTrue)
}

// containers is what the runtimes of the edge nodes say: identity and begin of
// each container, by pod.
func containers(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, n := range c.Agents {
		out, err := n.Kedge(t.Context(), "crictl", "ps", "-o", "json")
		cluster.Must(t, err)
		var list struct {
			Containers []struct {
				ID, CreatedAt string
				Labels        map[string]string
			}
		}
		cluster.Must(t, json.Unmarshal([]byte(out), &list))
		for _, one := range list.Containers {
			all[one.Labels["io.kubernetes.pod.name"]] = one.ID + " of " + one.CreatedAt
		}
	}
	return all
}

// sameContainers also waits until the pod that nobody knows any more is gone.
func sameContainers(t *testing.T, c *cluster.Cluster, before map[string]string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the runtimes hold what they held at the snapshot", func(context.Context) error {
		now := containers(t, c)
		for pod, was := range before {
			if now[pod] != was {
				t.Fatalf("the container of pod %s was %s, is %s", pod, was, now[pod])
			}
		}
		if !maps.Equal(before, now) {
			return fmt.Errorf("%v, at the snapshot %v", now, before)
		}
		return nil
	})
	for _, n := range c.Agents {
		pod := c.WaitPods(t, "default", "app=web-"+n.Name(), 1)[0]
		if s := pod.Status.ContainerStatuses[0]; s.RestartCount != 0 || !strings.Contains(before[pod.Name], strings.TrimPrefix(s.ContainerID, "containerd://")) {
			t.Errorf("pod %s has container %s with %d restarts", pod.Name, s.ContainerID, s.RestartCount)
		}
	}
}

// formerServer finds the node of the lost host, which a person deletes.
func formerServer(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	_, err := c.Client.CoreV1().Nodes().Get(t.Context(), "server", metav1.GetOptions{})
	cluster.Must(t, err)
	c.Kubectl(t, "delete", "node", "server")
}

// compacted asks for a watch from a revision of the lost history.
func compacted(t *testing.T, c *cluster.Cluster, revision string) {
	t.Helper()
	w, err := c.Client.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: revision})
	if err == nil {
		defer w.Stop()
		event := <-w.ResultChan()
		err = apierrors.FromObject(event.Object)
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("a watch from revision %s of the lost history: %v", revision, err)
	}
}

// watcher is an informer that lives longer than the server.
type watcher struct {
	store cache.Store
	host  atomic.Pointer[lab.Host]
}

func watch(t *testing.T, c *cluster.Cluster) *watcher {
	t.Helper()
	w := &watcher{}
	w.host.Store(c.Server.Host)
	config := rest.CopyConfig(c.Config)
	config.Timeout = 0
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.host.Load().DialContext(ctx, network, address)
	}
	client, err := kubernetes.NewForConfig(config)
	cluster.Must(t, err)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"))
	informer := factory.Core().V1().ConfigMaps().Informer()
	w.store = informer.GetStore()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the informer has not synced")
	}
	return w
}

// moved lets new connections go to another host.
func (w *watcher) moved(to *lab.Host) { w.host.Store(to) }

// await waits until the informer holds the values; "" is none.
func (w *watcher) await(t *testing.T, want map[string]string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("the informer holds %v", want), func(context.Context) error {
		var errs []error
		for name, value := range want {
			got := ""
			if o, ok, _ := w.store.GetByKey("default/" + name); ok {
				got = o.(*corev1.ConfigMap).Data["value"] //nolint:forcetypeassert // an informer of these
			}
			if got != value {
				errs = append(errs, fmt.Errorf("%s is %q", name, got))
			}
		}
		return errors.Join(errs...)
	})
}
