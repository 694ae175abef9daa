//go:build namespace

package network

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tests/nethost"
)

// member is a node whose component runs and tells the cluster about itself.
type member struct {
	*node
	started
	name, cidr string
	client     kubernetes.Interface
}

// join starts the component of a node of the cluster.
func join(n *node, client kubernetes.Interface, name, cidr string) *member {
	n.T.Helper()
	n.cfg.NodeName, n.cfg.ProbeKeyFile = name, filepath.Join(n.cfg.StateDir, "probe.key")
	object := nodeObject(name, cidr, "")
	if _, err := client.CoreV1().Nodes().Create(n.T.Context(), object, metav1.CreateOptions{}); err != nil {
		n.T.Fatal(err)
	}
	m := &member{node: n, name: name, cidr: cidr, client: client}
	m.start()
	return m
}

func (m *member) start() {
	m.T.Helper()
	m.started = startedComponent(m.node, m.client)
	await(m.T, "network of "+m.name, m.ready)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": m.Annotations()}})
	if err == nil {
		_, err = m.client.CoreV1().Nodes().Patch(m.T.Context(), m.name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		m.T.Fatal(err)
	}
}

func (m *member) routes() string { return m.host.Run("ip route show proto 107") }

// lan is a site with a bridge as its switch; ports[i] is the link to host i.
func lan(t *testing.T, hosts ...*host) (site *host, ports []string) {
	site = newHost(t)
	site.Run("ip link add lan type bridge; ip link set lan up; ip addr add 192.0.2.254/24 dev lan")
	for i, h := range hosts {
		port := "port" + string(rune('0'+i))
		nethost.Cable(site.Host, port, h.Host, "eth0")
		site.Run("ip link set " + port + " master lan")
		// Strict, as some distributions have it.
		h.Run("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; ip addr add 192.0.2." + string(rune('1'+i)) + "/24 dev eth0; ip route add default via 192.0.2.254")
		ports = append(ports, port)
	}
	return site, ports
}

func TestNodesOfOneSiteAreDirectAndThoseOfATwinSiteAreNot(t *testing.T) {
	client := fake.NewClientset()
	a1, b1, a2, b2 := newNode(t), newNode(t), newNode(t), newNode(t)
	site1, ports := lan(t, a1.host, b1.host)
	lan(t, a2.host, b2.host) // the same addresses
	relay(a1.host, a2.host)
	var members []*member
	for i, n := range []*node{a1, b1, a2, b2} {
		m := join(n, client, []string{"a1", "b1", "a2", "b2"}[i], []string{"10.42.1.0/24", "10.42.2.0/24", "10.42.3.0/24", "10.42.4.0/24"}[i])
		members = append(members, m)
	}
	direct := []string{"10.42.2.0/24 via 192.0.2.2 ", "10.42.1.0/24 via 192.0.2.1 ", "10.42.4.0/24 via 192.0.2.2 ", "10.42.3.0/24 via 192.0.2.1 "}
	for i, m := range members {
		eventually(t, m.routes, direct[i], true)
	}
	for i, m := range members {
		if got := m.host.Run("ip route show proto 107 metric 107 | wc -l"); got != "1\n" {
			t.Errorf("%s has other direct routes than %q:\n%s", m.name, direct[i], m.routes())
		}
	}
	contains(t, "routes for probes", members[0].host.Run("ip rule; ip route show table 10107"),
		"from all ipproto udp sport 6107 dport 6107 lookup 10107", "unreachable default", "10.42.2.1 via 192.0.2.2 dev eth0", "10.42.4.1 via 192.0.2.2 dev eth0")

	pod1 := a1.addPod("1", "10.42.1.5", "10.42.1.1")
	pod2 := b1.addPod("2", "10.42.2.5", "10.42.2.1")
	pod2.answer(":80")
	want(t, "pod to pod of the site", pod1.ask("10.42.2.5:80"), "10.42.1.5")

	// The path dies without a link going down, and comes back.
	site1.Run("bridge link set dev " + ports[0] + " isolated on; bridge link set dev " + ports[1] + " isolated on")
	eventually(t, members[0].routes, direct[0], false)
	eventually(t, members[1].routes, direct[1], false)
	contains(t, "routes after the path died", members[0].routes(), "10.42.0.0/16 dev kedge-relay")
	site1.Run("bridge link set dev " + ports[0] + " isolated off; bridge link set dev " + ports[1] + " isolated off")
	eventually(t, members[0].routes, direct[0], true)
	eventually(t, members[1].routes, direct[1], true)
	for _, m := range members {
		m.stop()
	}
	a1.removeAll()
	if left := a1.Run("ip rule; ip route show table all proto 107"); len(left) == 0 || containsText(left, "10107") || containsText(left, "10.42.") {
		t.Errorf("after removal:\n%s", left)
	}
}

func TestDirectPathOutlivesTheAgent(t *testing.T) {
	client := fake.NewClientset()
	a, b := newNode(t), newNode(t)
	lan(t, a.host, b.host)
	one, other := join(a, client, "a", "10.42.1.0/24"), join(b, client, "b", "10.42.2.0/24")
	defer func() { one.stop() }()
	const direct = "10.42.2.0/24 via 192.0.2.2 "
	eventually(t, one.routes, direct, true)
	eventually(t, other.routes, "10.42.1.0/24 via 192.0.2.1 ", true)
	pod := b.addPod("2", "10.42.2.5", "10.42.2.1")
	pod.answer(":80")

	other.stop() // an upgrade that takes longer than probes live
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range 35 { // 7 s
		<-tick.C
		if !containsText(one.routes(), direct) {
			t.Fatalf("the path was given up while the agent was away:\n%s", one.routes())
		}
	}
	want(t, "pod of a node without an agent", a.ask("10.42.2.5:80"), "10.42.1.1")
	other.start()
	defer func() { other.stop() }()
	contains(t, "routes right after the start", other.routes(), "10.42.1.0/24 via 192.0.2.1 ")

	// A restart without a server.
	one.stop()
	one.client = unreachable()
	one.started = startedComponent(one.node, one.client)
	await(t, "network without a server", one.ready)
	contains(t, "routes right after the start", one.routes(), direct)
	b.Run("ip link set eth0 down")
	eventually(t, one.routes, direct, false)
}

func TestAStrangersAddressIsNoPath(t *testing.T) {
	client := fake.NewClientset()
	a, stranger := newNode(t), newNode(t)
	lan(t, a.host, stranger.host)
	stranger.Run("ip addr add 10.42.2.1/32 dev lo") // takes the cluster address of b
	object := nodeObject("b", "10.42.2.0/24", "192.0.2.2")
	object.Annotations[wire.AnnotationProbeKey] = base64.StdEncoding.EncodeToString(append([]byte{9}, make([]byte, 31)...))
	if _, err := client.CoreV1().Nodes().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	heard := stranger.EchoUDP("10.42.2.1:6107")
	m := join(a, client, "a", "10.42.1.0/24")
	defer m.stop()
	eventually(t, func() string { return fmt.Sprintf("%d probes", heard()) }, "3 probes", true)
	if routes := m.routes(); containsText(routes, "via 192.0.2.2") {
		t.Errorf("routes:\n%s", routes)
	}
}
