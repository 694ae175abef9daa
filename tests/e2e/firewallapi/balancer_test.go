package firewallapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

const web = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`

const denyAll = `
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: deny}
spec: {ingress: {default: deny}}
`

// balanced is a cluster with the service web, whose pod runs on edge1, and a
// client somewhere on the internet.
type balanced struct {
	*cluster.Cluster
	client *lab.Host
}

func TestLoadBalancer(t *testing.T) {
	topology := lab.ServerAndEdges(2)
	topology.Sites = append(topology.Sites, lab.Site{Name: "world", Public: true, Hosts: []string{"client"}})
	b := &balanced{Cluster: cluster.New(t, topology, cluster.Options{Bare: []string{"client"}})}
	b.client = b.Lab.Host("client")
	server, site1, site2 := b.Server.Host.IP(), b.Lab.Site("site1").WAN().String(), b.Lab.Site("site2").WAN().String()
	shared := b.Agents[0].Host.IP()
	b.CreatePod(t, cluster.AppPod("web", "edge1"))
	b.WaitPods(t, "default", "app=web", 1)

	b.Apply(t, web)
	b.addresses(t, server, site1, site2, shared)
	b.reached(t, server+":80")
	nodePort := b.nodePort(t)
	b.reached(t, server+nodePort)

	t.Run("labels", func(t *testing.T) {
		b.Kubectl(t, "label", "node", "edge1", "kedge.io/loadbalancer=")
		b.addresses(t, site1)
		b.event(t, "AddressShared", "address "+shared+" of node edge1 is left out: node edge2 has it, too")
		b.Kubectl(t, "label", "node", "edge1", "kedge.io/loadbalancer-")
		b.Kubectl(t, "label", "node", "server", "kedge.io/loadbalancer=")
		b.addresses(t, server)
	})
	t.Run("endpoints", func(t *testing.T) {
		b.Kubectl(t, "patch", "service", "web", "-p", `{"spec":{"externalTrafficPolicy":"Local"}}`)
		b.addresses(t)
		b.event(t, "NoNodes", "externalTrafficPolicy is Local, and no node that offers services runs an endpoint")
		b.Kubectl(t, "patch", "service", "web", "-p", `{"spec":{"externalTrafficPolicy":"Cluster"}}`)
		b.addresses(t, server)
	})
	t.Run("firewall", func(t *testing.T) {
		b.Apply(t, denyAll)
		b.WaitEnforced(t, "deny")
		b.silent(t, server+nodePort)
		b.reached(t, server+":80")
		b.Kubectl(t, "patch", "service", "web", "-p", `{"spec":{"loadBalancerSourceRanges":["192.0.2.0/24"]}}`)
		b.silent(t, server+":80")
		b.Kubectl(t, "patch", "service", "web", "-p", `{"spec":{"loadBalancerSourceRanges":["192.0.2.0/24","`+b.client.IP()+`/32"]}}`)
		b.reached(t, server+":80")
	})
	t.Run("ports that nobody gets", func(t *testing.T) {
		b.Apply(t, strings.NewReplacer("name: web", "name: ssh", "port: 80,", "port: 22,").Replace(web))
		b.event(t, "PortReserved", "port 22 is that of the nodes' own ssh: give the service another port")
		b.Apply(t, strings.NewReplacer("name: web", "name: late").Replace(web))
		b.event(t, "PortTaken", "port 80/tcp of node server belongs to service default/web, which is older")
	})
	t.Run("gone", func(t *testing.T) {
		b.Kubectl(t, "delete", "service", "web", "late", "ssh")
		b.silent(t, server+":80")
	})
}

// addresses waits until these are the service's.
func (b *balanced) addresses(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("addresses are %v", want), func(ctx context.Context) error {
		s, err := b.Client.CoreV1().Services("default").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		var got []string
		for _, i := range s.Status.LoadBalancer.Ingress {
			got = append(got, i.IP)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

func (b *balanced) nodePort(t *testing.T) string {
	t.Helper()
	s, err := b.Client.CoreV1().Services("default").Get(t.Context(), "web", metav1.GetOptions{})
	cluster.Must(t, err)
	return fmt.Sprintf(":%d", s.Spec.Ports[0].NodePort)
}

// ask makes one request from the client.
func (b *balanced) ask(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return b.client.DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	body, err := cluster.Fetch(ctx, &http.Client{Transport: transport}, http.MethodGet, "http://"+address+"/hostname")
	if err == nil && strings.TrimSpace(body) != "web" {
		return fmt.Errorf("somebody else answers: %q", body)
	}
	return err
}

// reached waits until the pod answers there.
func (b *balanced) reached(t *testing.T, address string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the pod answers at "+address, func(ctx context.Context) error { return b.ask(ctx, address) })
}

// silent waits until nothing answers there.
func (b *balanced) silent(t *testing.T, address string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "nothing answers at "+address, func(ctx context.Context) error {
		if err := b.ask(ctx, address); err == nil {
			return errors.New("the pod answers")
		}
		return ctx.Err()
	})
}

// event waits for one.
func (b *balanced) event(t *testing.T, reason, words string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "event "+reason, func(ctx context.Context) error {
		list, err := b.Client.CoreV1().Events("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(e corev1.Event) bool { return e.Reason == reason && strings.Contains(e.Message, words) }) {
			return errors.New("there is none")
		}
		return nil
	})
}
