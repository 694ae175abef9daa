//go:build namespace

package relay

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/nethost"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/relay"
)

// host is a network namespace of the test.
type host struct{ *nethost.Host }

func newHost(t testing.TB) *host { return &host{nethost.New(t)} }

// node is a host with the pods' bridge, one pod and, while it runs, the relay.
type node struct {
	*host
	name  tunnel.NodeName
	cidr  netip.Prefix
	pod   *host
	relay *Relay
	stop  func()
}

const (
	cluster = "10.42.0.0/16"
	mtu     = 1400
)

// newNode makes node number n with the range 10.42.n.0/24, whose pod has the
// address 10.42.n.5.
func newNode(t testing.TB, n int) *node {
	h := &node{host: newHost(t), name: tunnel.NodeName(fmt.Sprintf("node-%d", n)), pod: newHost(t)}
	h.cidr = netip.MustParsePrefix(fmt.Sprintf("10.42.%d.0/24", n))
	h.Run(fmt.Sprintf(`echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter
		ip link add kedge0 mtu %d type bridge; ip addr add 10.42.%d.1/24 dev kedge0; ip link set kedge0 up`, mtu, n))
	nethost.Cable(h.host.Host, "veth1", h.pod.Host, "eth0")
	h.Run(fmt.Sprintf("ip link set veth1 mtu %d master kedge0", mtu))
	h.pod.Run(fmt.Sprintf("ip link set eth0 mtu %d; ip addr add 10.42.%d.5/24 dev eth0; ip route add default via 10.42.%d.1", mtu, n, n))
	return h
}

// addr is the address of the node's pod.
func (n *node) addr() string { return n.cidr.Addr().Next().Next().Next().Next().Next().String() }

// start runs the relay over link until the test ends or stop is called.
func (n *node) start(link Link) {
	n.T.Helper()
	n.relay = New(Config{Link: link, Device: "kedge-relay", Bridge: "kedge0", Report: func(err error) {
		if err != nil {
			n.T.Logf("node %s: %v", n.name, err)
		}
	}}, logger(n.T))
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		n.Do(func() {
			if err := n.relay.Run(ctx, func() { close(up) }); err != nil {
				n.T.Error(err)
			}
		})
	}()
	n.stop = func() { cancel(); <-ended }
	n.T.Cleanup(n.stop)
	select {
	case <-up:
	case <-time.After(10 * time.Second):
		n.T.Fatalf("the relay of node %s is not up", n.name)
	}
	n.Run("ip route replace " + cluster + " dev kedge-relay metric 200")
}

func logger(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// stopWhenReady is a context that ends when the returned function is called.
func stopWhenReady() (context.Context, func()) {
	return context.WithCancel(context.Background())
}

func newSwitch(t testing.TB) *relay.Switch { return relay.New(relay.Config{}, logger(t)) }

func setRoutes(sw *relay.Switch, nodes ...*node) {
	routes := map[netip.Prefix]tunnel.NodeName{}
	for _, n := range nodes {
		routes[n.cidr] = n.name
	}
	sw.SetRoutes(routes)
}

// site is nodes whose relays meet in one switch without links between.
func site(t testing.TB, count int) (*relay.Switch, []*node) {
	sw := newSwitch(t)
	var nodes []*node
	for i := range count {
		nodes = append(nodes, newNode(t, i+1))
	}
	setRoutes(sw, nodes...)
	for _, n := range nodes {
		n.start(relay.NewLocal(sw, n.name))
	}
	return sw, nodes
}
