// Package reset is the scenario in README.md.
package reset

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const service = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
`

func TestResetLeavesOnlyWhatWasThere(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		reset(t, lab.OneServer(), nil, func(*cluster.Node) {})
	})
	t.Run("killed, another data directory", func(t *testing.T) {
		const dir = "/var/lib/kedge/elsewhere"
		reset(t, lab.OneServer(), []string{"--data-dir", dir}, func(n *cluster.Node) { cluster.Must(t, n.Kill()) })
	})
	t.Run("agent", func(t *testing.T) {
		reset(t, lab.ServerAndEdges(1), nil, func(*cluster.Node) {})
	})
}

// reset compares a host before kedge was ever started with the same host after the reset: the
// last one of the topology.
func reset(t *testing.T, topology lab.Topology, dataDir []string, before func(*cluster.Node)) {
	var clean lab.State
	var kept string
	c := cluster.New(t, topology, cluster.Options{
		ServerArgs: dataDir, DataDir: strings.Join(dataDir[min(1, len(dataDir)):], ""),
		BeforeStart: func(h *lab.Host) {
			foreign(t, h)
			clean, kept = state(t, h), rules(t, h)
		},
	})
	nodes := append([]*cluster.Node{c.Server}, c.Agents...)
	n := nodes[len(nodes)-1]
	h := n.Host
	use(t, c, n)
	before(n)

	_, err := n.Kedge(t.Context(), append([]string{"reset", "--yes"}, dataDir...)...)
	cluster.Must(t, err)
	select {
	case <-n.Proc().Done():
	default:
		t.Error("kedge still runs after the reset")
	}
	if now := rules(t, h); now != kept {
		t.Errorf("the rules of others were\n%s\nand are\n%s", kept, now)
	}
	for _, left := range state(t, h).New(clean) {
		t.Errorf("left: %s", left)
	}
	files, err := os.ReadDir(h.OnDisk("/var/lib/kedge"))
	cluster.Must(t, err)
	for _, f := range files {
		// A directory of the user's own choice may stay, empty.
		if inside, err := os.ReadDir(h.OnDisk("/var/lib/kedge/" + f.Name())); err != nil || len(inside) > 0 || len(dataDir) == 0 {
			t.Errorf("left: /var/lib/kedge/%s", f.Name())
		}
	}
	// Once more changes nothing and is no error.
	if _, err := n.Kedge(t.Context(), append([]string{"reset", "--yes"}, dataDir...)...); err != nil {
		t.Errorf("a second reset: %v", err)
	}
}

// use makes the node do what leaves traces: a pod with a host port, and a service with a node port.
func use(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	pod := cluster.AppPod("web", n.Name())
	pod.Spec.Containers[0].Ports[0].HostPort = 18080
	c.CreatePod(t, pod)
	c.Apply(t, service)
	c.WaitPods(t, "default", "app=web", 1)
	h := n.Host
	cluster.Get(t, h, "http://"+h.IP()+":18080/hostname", "web")
	cluster.Get(t, h, "http://"+h.IP()+":30080/hostname", "web")
	c.WaitNode(t, n.Name(), corev1.ConditionTrue)
}

func state(t *testing.T, h *lab.Host) lab.State {
	t.Helper()
	s, err := h.State(t.Context())
	cluster.Must(t, err)
	// The token is the user's file.
	s["file"] = slices.DeleteFunc(s["file"], func(line string) bool { return strings.TrimSpace(line) == "/etc/kedge/token" })
	// Tables of the packet filter may stay when they are empty; what they hold must be gone.
	s["nft"] = slices.DeleteFunc(s["nft"], func(line string) bool {
		line = strings.TrimSpace(line)
		return line == "" || line == "}" || strings.HasPrefix(line, "table ") || strings.HasPrefix(line, "type ") ||
			slices.Contains(builtin, line)
	})
	return s
}

// builtin are the chains that iptables makes by being looked at.
var builtin = []string{"chain INPUT {", "chain FORWARD {", "chain OUTPUT {", "chain PREROUTING {", "chain POSTROUTING {"}

// foreign makes a table of nft and a rule of iptables that are somebody else's.
func foreign(t *testing.T, h *lab.Host) {
	t.Helper()
	script := `nft 'add table inet foreign; add set inet foreign some { type ipv4_addr; elements = { 192.0.2.1 } }; add chain inet foreign c { type filter hook input priority 10; }; add rule inet foreign c ip saddr @some drop comment "mine"' &&
iptables -N FOREIGN && iptables -A FOREIGN -s 192.0.2.2 -m comment --comment mine -j DROP && iptables -A INPUT -j FOREIGN && iptables -t nat -A POSTROUTING -s 192.0.2.3 -j MASQUERADE`
	if _, errOut, err := h.Run(t.Context(), "sh", "-c", script); err != nil {
		t.Fatalf("foreign rules: %v: %s", err, errOut)
	}
}

// rules are the foreign ones, as the kernel has them.
func rules(t *testing.T, h *lab.Host) string {
	t.Helper()
	out, errOut, err := h.Run(t.Context(), "sh", "-c", "nft -a list table inet foreign; iptables -S FOREIGN; iptables -S INPUT | grep FOREIGN; iptables -t nat -S POSTROUTING | grep 192.0.2.3")
	if err != nil {
		t.Fatalf("read the foreign rules: %v: %s", err, errOut)
	}
	return out
}
