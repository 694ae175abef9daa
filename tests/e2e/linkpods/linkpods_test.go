// Package linkpods is the scenario in README.md.
package linkpods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	port     = 8080
	hostPort = 18080 // of the pods in their host's network
	nodePort = 30080
	patience = time.Minute
)

func TestPodsOfAllSitesReachEachOther(t *testing.T) {
	c := cluster.New(t, lab.ThreeSites(), cluster.Options{})
	s := start(t, c)
	s.each(t, "pod address", s.toPods)
	s.each(t, "services and names", s.toServices)
	s.each(t, "pod in the host's network", s.toHosts)
	t.Run("direct inside a site", s.direct)
	t.Run("over the link when neighbours lose each other", s.fallback)
	t.Run("bulk", s.bulk)
}

// scene is a cluster with a pod and a pod in the host's network on each node, and services.
type scene struct {
	c     *cluster.Cluster
	pods  []corev1.Pod // one per node, by name
	hosts []corev1.Pod // in the host's network
	// service is the address of the service of all pods, nodeIPs the internal addresses by node.
	service string
	nodeIPs map[string]string
}

func start(t *testing.T, c *cluster.Cluster) *scene {
	s := &scene{c: c, nodeIPs: map[string]string{}}
	nodes := append([]*cluster.Node{c.Server}, c.Agents...)
	for _, n := range nodes {
		c.CreatePod(t, labelled(cluster.AppPod("web-"+n.Name(), n.Name()), "web"))
		c.CreatePod(t, labelled(hostPod("host-"+n.Name(), n.Name()), "host"))
	}
	c.Apply(t, services(nodes))
	s.pods = c.WaitPods(t, "default", "kind=web", len(nodes))
	s.hosts = c.WaitPods(t, "default", "kind=host", len(nodes))
	svc, err := c.Client.CoreV1().Services("default").Get(t.Context(), "all", metav1.GetOptions{})
	cluster.Must(t, err)
	s.service = svc.Spec.ClusterIP
	list, err := c.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	cluster.Must(t, err)
	for _, n := range list.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				s.nodeIPs[n.Name] = a.Address
			}
		}
	}
	return s
}

func labelled(p *corev1.Pod, kind string) *corev1.Pod {
	p.Labels["kind"] = kind
	return p
}

func hostPod(name, node string) *corev1.Pod {
	p := cluster.AppPod(name, node, "-listen", fmt.Sprint(":", hostPort))
	p.Spec.HostNetwork = true
	p.Spec.Containers[0].Ports[0] = corev1.ContainerPort{ContainerPort: hostPort, HostPort: hostPort}
	p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{Name: "udp", Protocol: corev1.ProtocolUDP, ContainerPort: hostPort, HostPort: hostPort})
	return p
}

// services are one of all pods, with a NodePort and one without an address, and one per pod.
func services(nodes []*cluster.Node) string {
	var b strings.Builder
	const ports = "ports: [{name: tcp, port: 80, targetPort: 8080}, {name: udp, port: 80, targetPort: 8080, protocol: UDP}]"
	add := func(name, more string) {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: default}\nspec: {%s}\n", name, more)
	}
	add("all", "selector: {kind: web}, "+ports)
	add("headless", "clusterIP: None, selector: {kind: web}, "+ports)
	for i, n := range nodes {
		ports := strings.ReplaceAll(ports, "port: 80,", fmt.Sprintf("port: 80, nodePort: %d,", nodePort+i))
		add("web-"+n.Name(), fmt.Sprintf("type: NodePort, selector: {app: web-%s}, %s", n.Name(), ports))
	}
	return b.String()
}

// try is a check and what it must see; empty for anything.
type try struct {
	cluster.Check
	want string
}

// each runs the tries of every pod, all pods at the same time, until everything works. What works
// once is not tried again.
func (s *scene) each(t *testing.T, what string, tries func(from *corev1.Pod) []try) {
	t.Run(what, func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range s.pods {
			wg.Go(func() {
				open := tries(&s.pods[i])
				total := len(open)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := testx.Poll(ctx, func(context.Context) error {
					var err error
					// The last round is not cut off: its errors say what is wrong.
					open, err = s.run(t.Context(), &s.pods[i], open)
					return err
				})
				if err != nil {
					t.Errorf("from %s, %d of %d fail: %v", s.pods[i].Name, len(open), total, err)
				}
				t.Logf("from %s: %d checks", s.pods[i].Name, total)
			})
		}
		wg.Wait()
	})
}

// run returns the tries that failed, and why.
func (s *scene) run(ctx context.Context, from *corev1.Pod, tries []try) ([]try, error) {
	checks := make([]cluster.Check, len(tries))
	for i := range tries {
		checks[i] = tries[i].Check
		if checks[i].Seconds == 0 {
			checks[i].Seconds = 5
		}
	}
	results, err := s.c.Checks(ctx, from, checks)
	if err != nil {
		return tries, err
	}
	var failed []try
	var problems []error
	for i, r := range results {
		switch {
		case !r.Worked:
			problems = append(problems, fmt.Errorf("%s %s %d bytes: %s", tries[i].Kind, tries[i].To, tries[i].Bytes, r.Error))
		case tries[i].want != "" && r.Saw != tries[i].want:
			problems = append(problems, fmt.Errorf("%s %s %d bytes: saw %q, want %q", tries[i].Kind, tries[i].To, tries[i].Bytes, r.Saw, tries[i].want))
		default:
			continue
		}
		failed = append(failed, tries[i])
	}
	return failed, errors.Join(problems...)
}

// toPods tries every protocol on the address of each other pod.
func (s *scene) toPods(from *corev1.Pod) []try {
	var all []try
	for i := range s.pods {
		to := s.pods[i].Status.PodIP
		if to == from.Status.PodIP {
			continue
		}
		addr := fmt.Sprintf("%s:%d", to, port)
		me := from.Status.PodIP
		all = append(all,
			try{cluster.Check{Kind: "peer", To: addr}, me},
			try{cluster.Check{Kind: "get", To: addr, Bytes: 1}, ""},
			try{cluster.Check{Kind: "put", To: addr, Bytes: 1}, ""},
			try{cluster.Check{Kind: "get", To: addr, Bytes: 1 << 20}, ""},
			try{cluster.Check{Kind: "put", To: addr, Bytes: 1 << 20}, ""},
			try{cluster.Check{Kind: "udp", To: addr, Bytes: 1}, ""},
			try{cluster.Check{Kind: "udp", To: addr, Bytes: 1200}, me},
			try{cluster.Check{Kind: "udp", To: addr, Bytes: 1472}, me},
			try{cluster.Check{Kind: "udp", To: addr, Bytes: 6000}, me},
			try{cluster.Check{Kind: "ping", To: to, Bytes: 56}, ""},
			try{cluster.Check{Kind: "ping", To: to, Bytes: 1400}, ""},
		)
	}
	return all
}

// toServices tries the services of each pod by address, by name and by the port on every node, and
// what the name server says of them.
func (s *scene) toServices(from *corev1.Pod) []try {
	all := []try{
		{cluster.Check{Kind: "hostname", To: s.service + ":80"}, ""},
		{cluster.Check{Kind: "udp", To: s.service + ":80", Bytes: 100}, from.Status.PodIP},
		{cluster.Check{Kind: "dns", To: "all.default.svc.cluster.local"}, s.service},
		{cluster.Check{Kind: "dns", To: "headless"}, s.addresses()},
		{cluster.Check{Kind: "dns", To: "kubernetes.default"}, "10.43.0.1"},
	}
	for i := range s.pods {
		name := s.pods[i].Name
		// A pod that reaches itself through its service is seen as its node.
		me := from.Status.PodIP
		if name == from.Name {
			me = ""
		}
		all = append(all,
			try{cluster.Check{Kind: "hostname", To: name + ".default:80"}, name},
			try{cluster.Check{Kind: "peer", To: name + ".default.svc.cluster.local:80"}, me},
			try{cluster.Check{Kind: "udp", To: name + ".default:80", Bytes: 1200}, me},
		)
	}
	for node, ip := range s.nodeIPs {
		for j, n := range append([]*cluster.Node{s.c.Server}, s.c.Agents...) {
			to := fmt.Sprintf("%s:%d", ip, nodePort+j)
			all = append(all, try{cluster.Check{Kind: "hostname", To: to}, "web-" + n.Name()})
			if node == from.Spec.NodeName {
				all = append(all, try{cluster.Check{Kind: "udp", To: to, Bytes: 100}, ""})
			}
		}
	}
	return all
}

func (s *scene) addresses() string {
	var all []string
	for i := range s.pods {
		all = append(all, s.pods[i].Status.PodIP)
	}
	return strings.Join(sorted(all), " ")
}

// toHosts tries the pods in the networks of all hosts.
func (s *scene) toHosts(from *corev1.Pod) []try {
	var all []try
	for i := range s.hosts {
		ip := s.nodeIPs[s.hosts[i].Spec.NodeName]
		to := fmt.Sprintf("%s:%d", ip, hostPort)
		all = append(all,
			try{cluster.Check{Kind: "hostname", To: to}, s.hosts[i].Spec.NodeName},
			try{cluster.Check{Kind: "peer", To: to}, from.Status.PodIP},
			try{cluster.Check{Kind: "get", To: to, Bytes: 100_000}, ""},
			try{cluster.Check{Kind: "udp", To: to, Bytes: 1000}, from.Status.PodIP},
			try{cluster.Check{Kind: "ping", To: ip, Bytes: 56}, ""},
		)
	}
	return all
}
