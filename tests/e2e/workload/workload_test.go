// Package workload is the scenario in README.md.
package workload

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: app
        image: ` + cluster.AppImage + `
        imagePullPolicy: Never
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{port: 8080}]
`

// twoHosts is a site with a server and an agent on the same subnet.
func twoHosts() lab.Topology {
	return lab.Topology{Sites: []lab.Site{{Name: "cloud", Public: true, Hosts: []string{"server", "second"}}}}
}

func TestWorkloads(t *testing.T) {
	c := cluster.New(t, twoHosts(), cluster.Options{})
	c.Apply(t, web)
	pods := c.WaitPods(t, "default", "app=web", 3)
	service, err := c.Client.CoreV1().Services("default").Get(t.Context(), "web", metav1.GetOptions{})
	cluster.Must(t, err)
	hosts := c.Lab.Hosts()
	t.Run("cluster address", func(t *testing.T) {
		for _, h := range hosts {
			reachAll(t, h, "http://"+service.Spec.ClusterIP+"/hostname", pods)
		}
	})
	t.Run("node port", func(t *testing.T) {
		for _, from := range hosts {
			for _, to := range hosts {
				reachAll(t, from, "http://"+to.IP()+":30080/hostname", pods)
			}
		}
	})
	t.Run("addresses of nodes", func(t *testing.T) { addresses(t, c, pods) })
	t.Run("pod to pod", func(t *testing.T) { podToPod(t, c, pods) })
	t.Run("names", func(t *testing.T) { names(t, c, pods, service.Spec.ClusterIP) })
	t.Run("host port", func(t *testing.T) { hostPort(t, c) })
	t.Run("manifests", func(t *testing.T) { applied(t, c) })
	t.Run("manifests and images while the server is down", func(t *testing.T) { whileDown(t, c) })
	t.Run("images", func(t *testing.T) { images(t, c) })
}

// reachAll asks until every pod has answered.
func reachAll(t *testing.T, from *lab.Host, url string, pods []corev1.Pod) {
	t.Helper()
	seen := map[string]bool{}
	testx.Eventually(t, cluster.Patience, "all pods answer at "+url+" for "+from.Name(), func(ctx context.Context) error {
		body, err := cluster.Fetch(ctx, cluster.HTTP(from), http.MethodGet, url)
		if err != nil {
			return err
		}
		seen[strings.TrimSpace(body)] = true
		for _, p := range pods {
			if !seen[p.Name] {
				return fmt.Errorf("only %v", seen)
			}
		}
		return nil
	})
}

// from returns the address of the program in a pod, reached from the pod's own host.
func from(t *testing.T, c *cluster.Cluster, p corev1.Pod) (*lab.Host, string) {
	t.Helper()
	h := c.Lab.Host(p.Spec.NodeName)
	if h == nil {
		t.Fatalf("pod %s is on %q", p.Name, p.Spec.NodeName)
	}
	return h, "http://" + p.Status.PodIP + ":8080"
}

// addresses shows that nodes are known by addresses of the cluster, which work
// as well as those of the site, and that nodes of one site need no relay.
func addresses(t *testing.T, c *cluster.Cluster, pods []corev1.Pod) {
	hosted := cluster.AppPod("in-the-hosts-network", "second")
	hosted.Spec.HostNetwork = true
	c.CreatePod(t, hosted)
	hosted = &c.WaitPods(t, "default", "app="+hosted.Name, 1)[0]
	for _, h := range c.Lab.Hosts() {
		node, err := c.Client.CoreV1().Nodes().Get(t.Context(), h.Name(), metav1.GetOptions{})
		cluster.Must(t, err)
		own := netip.MustParsePrefix(node.Spec.PodCIDR).Addr().Next().String()
		if a := node.Status.Addresses[0]; a.Type != corev1.NodeInternalIP || a.Address != own {
			t.Errorf("node %s has the internal address %s, want %s", h.Name(), a.Address, own)
		}
		if site := node.Annotations["kedge.io/addresses"]; site != h.IP() {
			t.Errorf("node %s says that its addresses are %q, want %s", h.Name(), site, h.IP())
		}
		if h.Name() == "second" && (hosted.Status.PodIP != own || hosted.Status.HostIP != own) {
			t.Errorf("pod in the network of a host with %s: address %s, host %s", own, hosted.Status.PodIP, hosted.Status.HostIP)
		}
		for _, from := range c.Lab.Hosts() {
			reachAll(t, from, "http://"+own+":30080/hostname", pods)
			if from == h {
				continue
			}
			testx.Eventually(t, cluster.Patience, h.Name()+" is reached directly by "+from.Name(), func(ctx context.Context) error {
				out, errOut, err := from.Run(ctx, "ip", "route", "get", own)
				if err == nil && !strings.Contains(out, " via "+h.IP()+" ") {
					err = fmt.Errorf("route %s", out)
				}
				if err != nil {
					return fmt.Errorf("%w %s", err, errOut)
				}
				return nil
			})
		}
	}
	cluster.Get(t, c.Server.Host, "http://"+hosted.Status.PodIP+":8080/hostname", "second")
}

func podToPod(t *testing.T, c *cluster.Cluster, pods []corev1.Pod) {
	for _, a := range pods {
		h, url := from(t, c, a)
		for _, b := range pods {
			cluster.Get(t, h, url+"/get?url=http://"+b.Status.PodIP+":8080/hostname", b.Name)
		}
	}
}

func names(t *testing.T, c *cluster.Cluster, pods []corev1.Pod, clusterIP string) {
	for _, p := range pods {
		h, url := from(t, c, p)
		for _, name := range []string{"web", "web.default", "web.default.svc.cluster.local"} {
			cluster.Get(t, h, url+"/dns?name="+name, clusterIP)
		}
		for _, other := range pods {
			cluster.Get(t, h, url+"/dns?name=headless", other.Status.PodIP)
		}
		// A name of the world outside goes to the host's resolver.
		cluster.Get(t, h, url+"/dns?name=server."+lab.Zone, c.Server.Host.IP())
		cluster.Get(t, h, url+"/get?url=http://web/", "ok")
	}
}

func hostPort(t *testing.T, c *cluster.Cluster) {
	pod := cluster.AppPod("hosted", "second")
	pod.Spec.Containers[0].Ports[0].HostPort = 18080
	c.CreatePod(t, pod)
	c.WaitPods(t, "default", "app=hosted", 1)
	second := c.Lab.Host("second")
	cluster.Get(t, c.Server.Host, "http://"+second.IP()+":18080/hostname", "hosted")
	cluster.Get(t, second, "http://127.0.0.1:18080/hostname", "hosted")
}
