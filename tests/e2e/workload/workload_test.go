// Package workload is the scenario in README.md.
package workload

import (
	"context"
	"fmt"
	"net/http"
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
