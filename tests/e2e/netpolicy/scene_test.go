// Package netpolicy is the scenario in README.md.
package netpolicy

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
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	first, second = 8080, 8081 // what each pod serves, by TCP and UDP
	hostPort      = 18080      // of the pod in the network of its host
	nodePort      = 30100      // of the first pod's service, and so on
	outside       = "out"      // a host of nobody
)

// where are the pods, and on which nodes.
var where = []struct{ pod, node string }{
	{"x/a", "edge1"}, {"x/b", "edge2"}, {"x/c", "edge1"}, {"v/a", "edge2"}, {"v/b", "edge1"}, {"z/a", "server"},
}

// scene is a cluster with three namespaces of pods, each with a service, and a host outside.
type scene struct {
	c       *cluster.Cluster
	pods    map[string]*corev1.Pod // by "namespace/name"
	service map[string]string      // addresses by pod
	port    map[string]int32       // node ports by pod
	node    map[string]string      // internal addresses by node
	out     *lab.Host
	words   *strings.Replacer // of policies
}

func topology() lab.Topology {
	t := lab.ServerAndEdges(2)
	t.Sites[0].Hosts = append(t.Sites[0].Hosts, outside)
	return t
}

func start(t *testing.T) *scene {
	c := cluster.New(t, topology(), cluster.Options{Bare: []string{outside}})
	s := &scene{c: c, pods: map[string]*corev1.Pod{}, service: map[string]string{}, port: map[string]int32{}, node: map[string]string{}}
	for _, h := range c.Lab.Hosts() {
		if h.Name() == outside {
			s.out = h
		}
	}
	s.serveOutside(t)
	c.Apply(t, "apiVersion: v1\nkind: List\nitems:\n"+namespaces())
	for _, w := range where {
		c.CreatePod(t, pod(w.pod, w.node))
	}
	c.CreatePod(t, hostPod())
	c.Apply(t, services())
	s.look(t)
	return s
}

// serveOutside answers on the host that belongs to nobody.
func (s *scene) serveOutside(t *testing.T) {
	for _, port := range []int{first, second} {
		l, err := s.out.Listen("tcp", fmt.Sprint(":", port))
		cluster.Must(t, err)
		server := &http.Server{Handler: http.NotFoundHandler()} //nolint:gosec // a laboratory
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
	}
}

func namespaces() string {
	var b strings.Builder
	for _, ns := range []string{"x", "v", "z"} {
		fmt.Fprintf(&b, "- {apiVersion: v1, kind: Namespace, metadata: {name: %[1]s, labels: {ns: %[1]s}}}\n", ns)
	}
	return b.String()
}

// pod serves two ports. The one with the name "web" is the first, of pods b the second.
func pod(name, node string) *corev1.Pod {
	p := cluster.AppPod("", node, "-listen", fmt.Sprint(":", first), "-more", fmt.Sprint(":", second))
	p.Namespace, p.Name, _ = strings.Cut(name, "/")
	p.Labels = map[string]string{"pod": p.Name, "app": "shop"}
	names := []string{"web", "alt"}
	if p.Name == "b" {
		names = []string{"alt", "web"}
	}
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{
		{Name: names[0], ContainerPort: first}, {Name: names[1], ContainerPort: second},
		{Name: "talk", ContainerPort: second, Protocol: corev1.ProtocolUDP},
	}
	return p
}

// hostPod is in the network of its host.
func hostPod() *corev1.Pod {
	p := cluster.AppPod("h", "edge2", "-listen", fmt.Sprint(":", hostPort))
	p.Namespace, p.Spec.HostNetwork = "x", true
	p.Labels["pod"] = "h"
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: hostPort, HostPort: hostPort}}
	return p
}

func services() string {
	var b strings.Builder
	for i, w := range where {
		ns, name, _ := strings.Cut(w.pod, "/")
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec: {type: NodePort, selector: {pod: %[2]s}, ports: [{name: tcp, port: 80, targetPort: %[3]d, nodePort: %[4]d}, {name: udp, port: 80, targetPort: %[3]d, protocol: UDP}]}
`, ns, name, first, nodePort+i)
	}
	return b.String()
}

// look waits for all pods and reads all addresses.
func (s *scene) look(t *testing.T) {
	t.Helper()
	words := []string{"$out", s.out.IP()}
	for i, w := range where {
		ns, name, _ := strings.Cut(w.pod, "/")
		s.pods[w.pod] = &s.c.WaitPods(t, ns, "pod="+name, 1)[0]
		svc, err := s.c.Client.CoreV1().Services(ns).Get(t.Context(), name, metav1.GetOptions{})
		cluster.Must(t, err)
		s.service[w.pod], s.port[w.pod] = svc.Spec.ClusterIP, int32(nodePort+i)
		words = append(words, "$"+w.pod, s.pods[w.pod].Status.PodIP)
	}
	s.c.WaitPods(t, "x", "pod=h", 1)
	list, err := s.c.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	cluster.Must(t, err)
	for _, n := range list.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				s.node[n.Name] = a.Address
				words = append(words, "$"+n.Name, a.Address)
			}
		}
	}
	s.words = strings.NewReplacer(words...)
}

// write makes the policies of a text, one per line, the only ones there are.
func (s *scene) write(t *testing.T, text string) {
	t.Helper()
	api := s.c.Client.NetworkingV1()
	testx.Eventually(t, cluster.Patience, "policies are written", func(ctx context.Context) error {
		for _, ns := range []string{"x", "v", "z"} {
			if err := api.NetworkPolicies(ns).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				return err
			}
		}
		n := 0
		for line := range strings.Lines(s.words.Replace(text)) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			p := &networkingv1.NetworkPolicy{}
			ns, spec, _ := strings.Cut(line, ": ")
			if err := yaml.UnmarshalStrict([]byte("{metadata: {name: p"+fmt.Sprint(n)+"}, spec: {"+spec+"}}"), p); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			n++
			if _, err := api.NetworkPolicies(ns).Create(ctx, p, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		return nil
	})
}

// label sets a label of a pod "x/a" or a namespace "x"; null removes it.
func (s *scene) label(t *testing.T, object, key, value string) {
	t.Helper()
	if value != "null" {
		value = `"` + value + `"`
	}
	patch := []byte(`{"metadata":{"labels":{"` + key + `":` + value + `}}}`)
	testx.Eventually(t, cluster.Patience, "label "+object, func(ctx context.Context) error {
		ns, name, isPod := strings.Cut(object, "/")
		var err error
		if isPod {
			_, err = s.c.Client.CoreV1().Pods(ns).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		} else {
			_, err = s.c.Client.CoreV1().Namespaces().Patch(ctx, ns, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		}
		return err
	})
}
