// Package firewalllock is the scenario in README.md.
package firewalllock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/lab/proxies"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	nameServer = "198.51.100.1:53"
	proxyAt    = "127.0.0.1:3128"
	tunnelAt   = "127.0.0.1:7443"
)

// firewall is a manifest for one node.
func firewall(name, node, spec string) string {
	return fmt.Sprintf(`
apiVersion: edge.kedge.io/v1alpha1
kind: EdgeFirewall
metadata: {name: %s}
spec:
  nodeSelector: {matchLabels: {kubernetes.io/hostname: %s}}
%s`, name, node, spec)
}

// try is one way to lock oneself out.
type try struct {
	name string
	// spec has SERVER for the server's address.
	spec string
}

// Those are saved by what is implied: the node's own sockets to its server, the
// resolvers and everything that is established.
var saved = []try{
	{"deny-all", "  ingress: {default: deny}\n  egress: {default: deny}\n"},
	{"deny-the-server", "  egress:\n    rules:\n    - {name: server, action: deny, peers: [{cidr: SERVER/32}]}\n"},
	{"reject-all-egress", "  egress: {default: reject}\n"},
	{"drop-dns", "  egress:\n    rules:\n    - {name: udp, action: deny, protocol: udp, ports: [53]}\n    - {name: tcp, action: deny, protocol: tcp, ports: [53]}\n"},
	{"cut-everything", "  onChange: cut\n  ingress: {default: deny}\n  egress: {default: deny}\n"},
	{"deny-the-port-to-servers", "  egress:\n    rules:\n    - {name: port, action: reject, protocol: tcp, ports: [6443], peers: [{servers: true}]}\n"},
	{"deny-loopback-and-the-cluster", "  ingress:\n    rules:\n    - {name: lo, action: deny, peers: [{cidr: 127.0.0.0/8}, {cluster: true}]}\n  egress:\n    rules:\n    - {name: lo, action: deny, peers: [{cidr: 127.0.0.0/8}, {cluster: true}]}\n"},
	{"deny-icmp-and-high-ports", "  ingress:\n    rules:\n    - {name: icmp, action: deny, protocol: icmp}\n    - {name: high, action: deny, protocol: tcp, ports: [1024-65535]}\n  egress:\n    rules:\n    - {name: icmp, action: deny, protocol: icmp}\n    - {name: any, action: deny, protocol: tcp, ports: [1-65535]}\n"},
}

// Those cut a program beside kedge that is on the way to the server.
var cutting = []try{
	{"default-deny-egress", "  egress: {default: deny}\n"},
	{"reject-the-server", "  egress:\n    rules:\n    - {name: server, action: reject, peers: [{cidr: SERVER/32}, {cidr: 198.51.100.1/32}]}\n"},
	{"cut-the-server", "  onChange: cut\n  egress:\n    rules:\n    - {name: server, action: deny, peers: [{cidr: 203.0.113.0/24}, {cidr: 198.51.100.0/24}]}\n"},
}

func topology() lab.Topology {
	t := lab.ServerAndEdges(3)
	t.Sites = append(t.Sites, lab.Site{Name: "dmz", Public: true, Hosts: []string{"hop"}})
	return t
}

func TestNobodyIsLockedOut(t *testing.T) {
	c := cluster.New(t, topology(), cluster.Options{NoJoin: true, Bare: []string{"hop"}})
	server, hop := c.Server.Host.IP(), c.Lab.Host("hop")
	direct, byProxy, byName := c.Node("edge1"), c.Node("edge2"), c.Node("edge3")
	proxy, err := proxies.Connect(byProxy.Host, proxyAt, c.Server.Host.IP)
	cluster.Must(t, err)
	t.Cleanup(proxy.Close)
	byProxy.Env = []string{"HTTPS_PROXY=http://" + proxyAt}
	resolver(t, byName.Host, "127.0.0.1:53", nameServer)
	cluster.Must(t, byName.Host.WriteFile("/etc/resolv.conf", []byte("nameserver 127.0.0.1\n"), 0o644))
	c.Join(t, direct)
	c.Join(t, byProxy)
	c.JoinAt(t, byName, "https://server."+lab.Zone+":6443")
	c.WaitNodes(t)

	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		for _, a := range saved {
			t.Run(a.name, func(t *testing.T) { isSaved(t, c, direct, a, server) })
		}
		t.Run("a new link under deny-all", func(t *testing.T) { linksAnew(t, c, direct) })
		t.Run("foreign", func(t *testing.T) { foreign(t, c, direct) })
		forward(t, hop, ":7443", net.JoinHostPort(server, "6443"))
		forward(t, direct.Host, tunnelAt, net.JoinHostPort(hop.IP(), "7443"))
		moveTo(t, c, direct, "https://"+tunnelAt)
		for _, a := range cutting[:2] {
			t.Run("tunnel "+a.name, func(t *testing.T) { goesBack(t, c, direct, a, hop.IP(), opens(direct.Host, hop.IP(), "7443")) })
		}
	})
	t.Run("on the node", func(t *testing.T) {
		t.Parallel()
		probe := opens(byProxy.Host, server, "6443")
		for _, a := range cutting {
			t.Run("proxy "+a.name, func(t *testing.T) { goesBack(t, c, byProxy, a, server, probe) })
		}
		t.Run("a set", func(t *testing.T) { setGoesBack(t, c, byProxy, server, probe) })
		names := func(ctx context.Context) error { return query(ctx, byName.Host) }
		for _, a := range cutting[1:] {
			t.Run("resolver "+a.name, func(t *testing.T) { goesBack(t, c, byName, a, server, names) })
		}
	})
}

// opens is a probe that makes connections as programs other than kedge do.
func opens(h *lab.Host, host, port string) func(context.Context) error {
	return func(ctx context.Context) error { return dial(ctx, h, "tcp4", net.JoinHostPort(host, port)) }
}

// moveTo starts the agent anew with another way to its server.
func moveTo(t *testing.T, c *cluster.Cluster, n *cluster.Node, url string) {
	t.Helper()
	cluster.Must(t, n.Stop(t.Context()))
	n.Args[slices.Index(n.Args, "--server")+1] = url
	cluster.Must(t, n.Start())
	alive(t, c, n)
}

// alive waits until the node has renewed its lease after now.
func alive(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	began := time.Now()
	testx.Eventually(t, cluster.Patience, n.Name()+" renews its lease", func(ctx context.Context) error {
		lease, err := c.Client.CoordinationV1().Leases("kube-node-lease").Get(ctx, n.Name(), metav1.GetOptions{})
		if err == nil && !lease.Spec.RenewTime.After(began) {
			err = fmt.Errorf("renewed at %s", lease.Spec.RenewTime)
		}
		return err
	})
}

// dial makes a connection from a program that is not kedge.
func dial(ctx context.Context, h *lab.Host, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := h.DialContext(ctx, network, address)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// state waits until the node says that of the newest revision.
func state(t *testing.T, n *cluster.Node, what string, is func(view.Node) bool) view.Node {
	t.Helper()
	var last view.Node
	testx.Eventually(t, cluster.Patience, n.Name()+" "+what, func(ctx context.Context) error {
		var err error
		if last, err = n.Firewall(ctx); err == nil && !is(last) {
			err = fmt.Errorf("it is %+v", last)
		}
		return err
	})
	return last
}

func proven(v view.Node) bool     { return v.State == "proven" }
func rolledBack(v view.Node) bool { return v.State == "rolledBack" && !v.Undecided }

// link is the node's own.
func link(t *testing.T, n *cluster.Node) (up bool, reconnects int) {
	t.Helper()
	r, err := n.Links(t.Context())
	cluster.Must(t, err)
	if len(r.Links) != 1 {
		t.Fatalf("links are %+v", r.Links)
	}
	return r.Links[0].Up, r.Links[0].Reconnects
}

// isSaved applies rules that would cut the node off were it not for what is
// implied.
func isSaved(t *testing.T, c *cluster.Cluster, n *cluster.Node, a try, server string) {
	_, before := link(t, n)
	c.Apply(t, firewall(a.name, n.Name(), strings.ReplaceAll(a.spec, "SERVER", server)))
	c.WaitEnforced(t, a.name)
	v := state(t, n, "has proven "+a.name, proven)
	if v.HostRules == 0 && !strings.Contains(a.spec, "default") {
		t.Errorf("%s: no rule is in force: %+v", a.name, v)
	}
	alive(t, c, n)
	if up, after := link(t, n); !up || after != before {
		t.Errorf("%s: the link is up: %v, and was made anew %d times", a.name, up, after-before)
	}
	c.Kubectl(t, "delete", "edgefirewall", a.name)
	state(t, n, "has no rules", func(v view.Node) bool { return proven(v) && v.HostRules == 0 && v.Enforced == v.Wanted })
}

// linksAnew starts the agent anew, so that all its connections are new.
func linksAnew(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	c.Apply(t, firewall("deny-all-again", n.Name(), saved[0].spec))
	c.WaitEnforced(t, "deny-all-again")
	state(t, n, "has proven it", proven)
	cluster.Must(t, n.Kill())
	cluster.Must(t, n.Start())
	alive(t, c, n)
	if _, err := n.Logged(time.Time{}, "the last rules of the firewall are in force"); err != nil {
		t.Error(err)
	}
	c.Kubectl(t, "delete", "edgefirewall", "deny-all-again")
	state(t, n, "has no rules", func(v view.Node) bool { return proven(v) && v.Enforced == v.Wanted })
}

// goesBack applies rules that cut the node off, and waits until it has mended that.
func goesBack(t *testing.T, c *cluster.Cluster, n *cluster.Node, a try, server string, probe func(context.Context) error) {
	name := n.Name() + "-" + a.name
	cluster.Must(t, probe(t.Context()))
	began := time.Now()
	c.Apply(t, firewall(name, n.Name(), strings.ReplaceAll(a.spec, "SERVER", server)))
	cutAndBack(t, name, began, probe)
	reported(t, c, n, name)
	v := state(t, n, "reports it", rolledBack)
	if !strings.Contains(v.Reason, "could not reach its server") || v.Rollbacks == 0 {
		t.Errorf("%s: it says %+v", name, v)
	}
	if err := probe(t.Context()); err != nil {
		t.Errorf("%s: the former rules do not stay: %v", name, err)
	}
	testx.Eventually(t, cluster.Patience, "the link is up", func(context.Context) error {
		if up, _ := link(t, n); !up {
			return errors.New("it is down")
		}
		return nil
	})
	if text, err := n.FirewallDifferences(t.Context()); err != nil || text != "" {
		t.Errorf("%s: the kernel differs: %v %s", name, err, text)
	}
	c.Kubectl(t, "delete", "edgefirewall", name)
	state(t, n, "is well again", func(v view.Node) bool { return proven(v) && v.Enforced == v.Wanted })
}

// cutAndBack waits until the way is cut, and until it is back.
func cutAndBack(t *testing.T, name string, began time.Time, probe func(context.Context) error) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, name+" cuts the way", func(ctx context.Context) error {
		if probe(ctx) == nil {
			return errors.New("it is open")
		}
		return nil
	})
	cut := time.Since(began)
	testx.Eventually(t, cluster.Patience, name+" went back", probe)
	t.Logf("%s: cut %.1f s after kubectl apply began, back after %.1f s", name, cut.Seconds(), time.Since(began).Seconds())
}

// reported waits until the API knows: the firewall's status, the node's condition,
// an event.
func reported(t *testing.T, c *cluster.Cluster, n *cluster.Node, name string) {
	t.Helper()
	for what, q := range map[string]struct {
		args []string
		is   func(string) bool
	}{
		"status": {[]string{"edgefirewall", name, "-o", "jsonpath={.status.nodes.rolledBack} {.status.problems}"}, func(s string) bool {
			return strings.HasPrefix(s, "1 ") && strings.Contains(s, "could not reach its server")
		}},
		"condition": {[]string{"node", n.Name(), "-o", `jsonpath={.status.conditions[?(@.type=="KedgeFirewall")].reason}`}, func(s string) bool {
			return s == "RolledBack"
		}},
		"events": {[]string{"events", "-A", "--field-selector", "involvedObject.name=" + n.Name() + ",reason=FirewallRolledBack", "-o", "name"}, func(s string) bool {
			return s != ""
		}},
	} {
		testx.Eventually(t, cluster.Patience, "the API knows of "+name+": "+what, func(ctx context.Context) error {
			out, err := c.TryKubectl(ctx, append([]string{"get"}, q.args...)...)
			if err == nil && !q.is(out) {
				err = fmt.Errorf("it is %q", out)
			}
			return err
		})
	}
}

// setGoesBack empties a set of what the node's way needs: the former set returns,
// the rules stay.
func setGoesBack(t *testing.T, c *cluster.Cluster, n *cluster.Node, server string, probe func(context.Context) error) {
	upstream := "apiVersion: edge.kedge.io/v1alpha1\nkind: AddressSet\nmetadata: {name: upstream}\nspec: {addresses: [%s]}\n"
	c.Apply(t, fmt.Sprintf(upstream, server+"/32"))
	c.Apply(t, firewall("by-set", n.Name(), "  egress:\n    rules:\n    - {name: upstream, action: allow, peers: [{addressSet: upstream}]}\n    default: deny\n"))
	c.WaitEnforced(t, "by-set")
	state(t, n, "has proven it", proven)
	cluster.Must(t, probe(t.Context()))
	began := time.Now()
	c.Apply(t, fmt.Sprintf(upstream, "192.0.2.1/32"))
	cutAndBack(t, "by-set", began, probe)
	v := state(t, n, "reports it", rolledBack)
	if v.HostRules != 1 {
		t.Errorf("the rules are gone, too: %+v", v)
	}
	reported(t, c, n, "by-set")
	c.Apply(t, fmt.Sprintf(upstream, server+"/32, 192.0.2.2/32"))
	state(t, n, "takes the mended set", func(v view.Node) bool { return proven(v) && v.Enforced == v.Wanted })
	cluster.Must(t, probe(t.Context()))
	c.Kubectl(t, "delete", "edgefirewall", "by-set")
	c.Kubectl(t, "delete", "addressset", "upstream")
}

// foreign drops appear together with a revision: the rules are not the reason, and
// come in force when the drops are gone.
func foreign(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	c.Apply(t, firewall("before", n.Name(), "  priority: 10\n  ingress:\n    rules:\n    - {name: one, action: allow, protocol: tcp, ports: [1]}\n"))
	c.WaitEnforced(t, "before")
	former := state(t, n, "has proven it", proven)
	nft(t, n, "add table inet foreign; add chain inet foreign out { type filter hook output priority 0; }; add rule inet foreign out ct state new tcp dport 6443 ip daddr "+c.Server.Host.IP()+" drop")
	c.Apply(t, firewall("after", n.Name(), "  ingress:\n    rules:\n    - {name: two, action: allow, protocol: tcp, ports: [2]}\n"))
	v := state(t, n, "is undecided", func(v view.Node) bool { return v.Undecided })
	if v.Enforced != former.Enforced || v.HostRules != 1 {
		t.Errorf("it enforces %+v", v)
	}
	nft(t, n, "delete table inet foreign")
	v = state(t, n, "has both", func(v view.Node) bool { return proven(v) && v.HostRules == 2 })
	if v.Rollbacks != 0 {
		t.Errorf("the rules were taken for the reason: %+v", v)
	}
	c.Kubectl(t, "delete", "edgefirewall", "before", "after")
}

func nft(t *testing.T, n *cluster.Node, commands string) {
	t.Helper()
	if _, text, err := n.Host.RunInput(t.Context(), []byte(commands), "nft", "-f", "-"); err != nil {
		t.Fatalf("nft: %v: %s", err, text)
	}
}
