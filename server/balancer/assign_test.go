package balancer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// parse reads manifests as the informers hand them on.
func parse(t *testing.T, manifests string) (services []*service, nodes []*node, running []*endpoints) {
	t.Helper()
	for text := range strings.SplitSeq(manifests, "\n") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		kind, spec, _ := strings.Cut(text, " ")
		switch kind {
		case "node":
			var o corev1.Node
			must(t, yaml.UnmarshalStrict([]byte(spec), &o))
			w, _ := slimNode(&o)
			nodes = append(nodes, w.(*node))
		case "service":
			var o corev1.Service
			must(t, yaml.UnmarshalStrict([]byte(spec), &o))
			o.Namespace = "shop"
			if o.Spec.IPFamilies == nil {
				o.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
			}
			w, _ := slimService(&o)
			services = append(services, w.(*service))
		case "endpoints":
			var o discoveryv1.EndpointSlice
			must(t, yaml.UnmarshalStrict([]byte(spec), &o))
			o.Namespace = "shop"
			w, _ := slimEndpoints(&o)
			running = append(running, w.(*endpoints))
		}
	}
	return services, nodes, running
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(offers []offer) string {
	var b strings.Builder
	for _, o := range offers {
		m := o.balanced()
		fmt.Fprintf(&b, "%s ports=%v from=%v nodes=%v addresses=%v", m.Name, m.Ports, m.Sources, m.Nodes, o.addresses)
		for _, p := range o.problems {
			fmt.Fprintf(&b, " %s: %s", p.reason, p.message)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const threeNodes = `
node {metadata: {name: a, annotations: {kedge.io/public-address: 203.0.113.1, kedge.io/addresses: "192.168.1.10,fd00::1"}}, status: {conditions: [{type: Ready, status: "True"}]}}
node {metadata: {name: b, annotations: {kedge.io/public-address: 203.0.113.2}}, status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.42.1.1}, {type: ExternalIP, address: 198.51.100.2}]}}
node {metadata: {name: away, annotations: {kedge.io/public-address: 203.0.113.3}}, status: {conditions: [{type: Ready, status: Unknown}]}}
`

func TestAssign(t *testing.T) {
	cfg := Config{Reserved: map[uint16]string{6443: "the servers"}, Cluster: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("10.43.0.0/16")}}
	for name, c := range map[string]struct{ objects, want string }{
		"all nodes offer it, ready ones have addresses": {
			threeNodes + `service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}, {port: 53, protocol: UDP}, {port: 99, protocol: SCTP}], loadBalancerSourceRanges: [10.1.2.3/8]}}`,
			"shop/web ports=[{tcp 80} {udp 53}] from=[10.0.0.0/8] nodes=[a away b] addresses=[192.168.1.10 198.51.100.2 203.0.113.1 203.0.113.2]\n",
		},
		"both families": {
			threeNodes + `service {metadata: {name: web}, spec: {type: LoadBalancer, ipFamilies: [IPv6], ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[a away b] addresses=[fd00::1]\n",
		},
		"public addresses only, sources by annotation": {
			threeNodes + `service {metadata: {name: web, annotations: {kedge.io/loadbalancer-addresses: public, service.beta.kubernetes.io/load-balancer-source-ranges: "10.0.0.0/8, 192.0.2.0/24"}}, spec: {type: LoadBalancer, loadBalancerClass: kedge.io/node, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[10.0.0.0/8 192.0.2.0/24] nodes=[a away b] addresses=[198.51.100.2 203.0.113.1 203.0.113.2]\n",
		},
		"other classes and types are for others": {
			threeNodes + `service {metadata: {name: web}, spec: {type: LoadBalancer, loadBalancerClass: example.org/cloud, ports: [{port: 80, protocol: TCP}]}}
service {metadata: {name: db}, spec: {type: NodePort, ports: [{port: 80, protocol: TCP}]}}`,
			"",
		},
		"labelled nodes only": {
			threeNodes + `node {metadata: {name: gate, labels: {kedge.io/loadbalancer: ""}, annotations: {kedge.io/public-address: 203.0.113.4}}, status: {conditions: [{type: Ready, status: "True"}]}}
service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[gate] addresses=[203.0.113.4]\n",
		},
		"excluded nodes do not, labelled or not": {
			`node {metadata: {name: gate, labels: {kedge.io/loadbalancer: "", node.kubernetes.io/exclude-from-external-load-balancers: ""}, annotations: {kedge.io/public-address: 203.0.113.4}}, status: {conditions: [{type: Ready, status: "True"}]}}
service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[] addresses=[] NoNodes: there is no node that offers services\n",
		},
		"local: nodes with an endpoint, addresses of those where it is ready": {
			threeNodes + `service {metadata: {name: web}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, protocol: TCP}]}}
endpoints {metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{nodeName: a, addresses: [], conditions: {ready: false}}, {nodeName: b, addresses: []}]}
endpoints {metadata: {name: db-1, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{nodeName: away, addresses: []}]}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[a b] addresses=[198.51.100.2 203.0.113.2]\n",
		},
		"local without endpoints": {
			threeNodes + `service {metadata: {name: web}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[] addresses=[] NoNodes: externalTrafficPolicy is Local, and no node that offers services runs an endpoint\n",
		},
		"local, endpoints on other nodes": {
			threeNodes + `node {metadata: {name: gate, labels: {kedge.io/loadbalancer: ""}, annotations: {kedge.io/public-address: 203.0.113.4}}, status: {conditions: [{type: Ready, status: "True"}]}}
service {metadata: {name: web}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, protocol: TCP}]}}
endpoints {metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{nodeName: a, addresses: []}]}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[] addresses=[] NoNodes: externalTrafficPolicy is Local, and no node that offers services runs an endpoint\n",
		},
		"the older service has the port": {
			threeNodes + `service {metadata: {name: young, creationTimestamp: "2026-02-01T00:00:00Z"}, spec: {type: LoadBalancer, ports: [{port: 81, protocol: TCP}, {port: 80, protocol: TCP}]}}
service {metadata: {name: zold, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, protocol: TCP}]}}
service {metadata: {name: udp, creationTimestamp: "2026-03-01T00:00:00Z"}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: UDP}]}}
endpoints {metadata: {name: zold-1, labels: {kubernetes.io/service-name: zold}}, addressType: IPv4, endpoints: [{nodeName: a, addresses: []}]}`,
			"shop/udp ports=[{udp 80}] from=[] nodes=[a away b] addresses=[192.168.1.10 198.51.100.2 203.0.113.1 203.0.113.2]\n" +
				"shop/young ports=[{tcp 81} {tcp 80}] from=[] nodes=[away b] addresses=[198.51.100.2 203.0.113.2] PortTaken: port 80/tcp of node a belongs to service shop/zold, which is older: give one of them another port, or other nodes\n" +
				"shop/zold ports=[{tcp 80}] from=[] nodes=[a] addresses=[192.168.1.10 203.0.113.1]\n",
		},
		"a port that the cluster needs is refused": {
			threeNodes + `service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}, {port: 6443, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80} {tcp 6443}] from=[] nodes=[] addresses=[] PortReserved: port 6443 is that of the servers: give the service another port\n",
		},
		"an address that another site's node has is left out": {
			threeNodes + `node {metadata: {name: gate, labels: {kedge.io/loadbalancer: ""}, annotations: {kedge.io/public-address: 203.0.113.1, kedge.io/addresses: "192.168.1.10,192.168.1.11"}}, status: {conditions: [{type: Ready, status: "True"}]}}
service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[gate] addresses=[192.168.1.11 203.0.113.1] AddressShared: address 192.168.1.10 of node gate is left out: node a has it, too, at another site, and does not offer the service: let both offer it, or give one of them another address\n",
		},
		"what a node says of others' addresses is not believed": {
			`node {metadata: {name: liar, annotations: {kedge.io/addresses: "10.43.0.10,1.1.1.1,100.64.0.7,127.0.0.1"}}, status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: ExternalIP, address: 10.42.0.1}]}}
service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[liar] addresses=[100.64.0.7]\n",
		},
		"nobody is ready": {
			`node {metadata: {name: away, annotations: {kedge.io/public-address: 203.0.113.3}}}
service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`,
			"shop/web ports=[{tcp 80}] from=[] nodes=[away] addresses=[] NoNodes: no node that offers it is ready and has an address of its family\n",
		},
	} {
		services, nodes, running := parse(t, c.objects)
		if got := text(assign(services, nodes, running, cfg)); got != c.want {
			t.Errorf("%s:\n got %swant %s", name, got, c.want)
		}
	}
}

func TestNotAllNodesOfALargeClusterOfferAService(t *testing.T) {
	services, _, _ := parse(t, `service {metadata: {name: web}, spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`)
	var nodes []*node
	for i := range 300 {
		nodes = append(nodes, &node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%03d", i)}, ready: true, public: []netip.Addr{netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})}})
	}
	o := assign(services, nodes, nil, Config{})[0]
	if len(o.nodes) != MaxNodes || len(o.addresses) != MaxNodes || len(o.problems) != 1 || !strings.Contains(o.problems[0].message, "the first 256 of 300 nodes offer it: put the label kedge.io/loadbalancer on those that should") {
		t.Error(len(o.nodes), len(o.addresses), o.problems)
	}
}

func BenchmarkAssign(b *testing.B) {
	var nodes []*node
	for i := range 1000 {
		nodes = append(nodes, &node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%03d", i)}, ready: true, public: []netip.Addr{netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})}})
	}
	var services []*service
	for i := range 100 {
		o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}}
		o.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, Ports: []corev1.ServicePort{{Port: int32(i + 1), Protocol: "TCP"}}}
		w, _ := slimService(o)
		services = append(services, w.(*service))
	}
	for b.Loop() {
		assign(services, nodes, nil, Config{})
	}
}
