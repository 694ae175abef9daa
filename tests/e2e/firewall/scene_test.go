package firewall

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// Ports at which something answers at the nodes, by whose they are.
const (
	process = 9200 // of the host, TCP and UDP
	hostNet = 9100 // of a pod in the host's network
	outside = 7000 // at the machines outside, TCP and UDP
)

// scene is the cluster and those who send packets.
type scene struct {
	*cluster.Cluster
	hosts map[string]*lab.Host
	// pods are "pod@NODE" and, in the host's network, "net@NODE".
	pods map[string]*corev1.Pod
}

func newScene(t *testing.T) *scene {
	t.Helper()
	topology := lab.Topology{Sites: []lab.Site{
		{Name: "cloud", Public: true, Hosts: []string{"server"}},
		{Name: "site1", Hosts: []string{"edge1", "lan"}},
		{Name: "far", Public: true, Hosts: []string{"stranger", "friend"}},
	}}
	bare := []string{"lan", "stranger", "friend"}
	s := &scene{Cluster: cluster.New(t, topology, cluster.Options{Bare: bare}), hosts: map[string]*lab.Host{}, pods: map[string]*corev1.Pod{}}
	for _, h := range s.Lab.Hosts() {
		s.hosts[h.Name()] = h
		listen(t, h, process)
		listen(t, h, outside)
	}
	for _, node := range []string{"server", "edge1"} {
		s.pod(t, "web", node, func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports[0].HostPort = 8081
		})
		s.pod(t, "net", node, func(p *corev1.Pod) {
			p.Spec.HostNetwork = true
			p.Spec.Containers[0].Args = []string{"-listen", fmt.Sprintf(":%d", hostNet)}
			p.Spec.Containers[0].Ports[0].ContainerPort = hostNet
		})
	}
	for app, key := range map[string]string{"web": "pod@", "net": "net@"} {
		for _, p := range s.WaitPods(t, metav1.NamespaceDefault, "app="+app, 2) {
			s.pods[key+p.Spec.NodeName] = &p
		}
	}
	s.services(t)
	return s
}

func (s *scene) pod(t *testing.T, app, node string, change func(*corev1.Pod)) {
	t.Helper()
	p := cluster.AppPod(app+"-"+node, node)
	p.Labels = map[string]string{"app": app}
	change(p)
	s.CreatePod(t, p)
}

// services are a node port for TCP and UDP, and load balancers for everybody (8443)
// and for the friend and machines of the site (8444).
func (s *scene) services(t *testing.T) {
	t.Helper()
	no := false
	balancer := func(port int32, sources ...string) corev1.ServiceSpec {
		return corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: &no, LoadBalancerSourceRanges: sources,
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Ports:                 []corev1.ServicePort{{Port: port, TargetPort: intstr.FromInt32(8080)}}}
	}
	for name, spec := range map[string]corev1.ServiceSpec{
		"ports": {Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{
			{Name: "tcp", Port: 80, TargetPort: intstr.FromInt32(8080), NodePort: 30080},
			{Name: "udp", Port: 53, TargetPort: intstr.FromInt32(8080), NodePort: 30053, Protocol: corev1.ProtocolUDP}}},
		"all":     balancer(8443),
		"members": balancer(8444, s.hosts["friend"].IP()+"/32", "192.168.1.0/24"),
	} {
		spec.Selector = map[string]string{"app": "web"}
		_, err := s.Client.CoreV1().Services(metav1.NamespaceDefault).Create(t.Context(),
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
		cluster.Must(t, err)
	}
}

// listen sends back what comes to a port of a host, by TCP and UDP.
func listen(t *testing.T, h *lab.Host, port int) {
	t.Helper()
	l, err := h.Listen("tcp", fmt.Sprintf(":%d", port))
	cluster.Must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	u, err := h.ListenUDP(fmt.Sprintf(":%d", port))
	cluster.Must(t, err)
	t.Cleanup(func() { _ = u.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(bytes.Clone(buf[:n]), from)
		}
	}()
}

// dial connects from a host to one of the ports of another.
func (s *scene) dial(ctx context.Context, from, network, to string) (net.Conn, error) {
	return s.hosts[from].DialContext(ctx, network, s.address(to))
}

// address turns "edge1:80" into numbers.
func (s *scene) address(to string) string {
	name, port, _ := net.SplitHostPort(to)
	return net.JoinHostPort(s.hosts[name].IP(), port)
}
