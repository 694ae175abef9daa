package firewalllock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

const stateFile = "/var/lib/kedge/agent/firewall.json"

// open and shut are ports of edge1: rules let its neighbour edge1b in at the one.
const (
	open = "8001"
	shut = "8002"
)

func TestBootsKeepTheRules(t *testing.T) {
	topology := lab.OneServer()
	topology.Sites = append(topology.Sites, lab.Site{Name: "site1", Hosts: []string{"edge1", "near"}})
	c := cluster.New(t, topology, cluster.Options{Bare: []string{"near"}, AgentArgs: []string{"--failsafe", "192.168.1.0/24=8003"}})
	n, near := c.Node("edge1"), c.Lab.Host("near")
	c.Apply(t, firewall("closed", n.Name(), "  ingress:\n    rules:\n    - {name: open, action: allow, protocol: tcp, ports: ["+open+"]}\n    default: deny\n"))
	c.WaitEnforced(t, "closed")
	state(t, n, "has proven it", proven)
	serves(t, n)
	enforces(t, near, n, open)

	whole := t // listeners are for the subtests that follow as well
	t.Run("offline", func(t *testing.T) {
		cluster.Must(t, c.Lab.Site("site1").Uplink.Cut())
		reboot(t, n)
		serves(whole, n)
		testx.Eventually(t, cluster.Patience, "the machine is open before kedge", func(context.Context) error {
			if !reachable(t, near, n, shut) {
				return errors.New("it is closed")
			}
			return nil
		})
		out, err := n.Kedge(t.Context(), "firewall", "restore")
		if err != nil || !strings.Contains(out, "are in force") {
			t.Fatalf("kedge firewall restore: %q, %v", out, err)
		}
		enforces(t, near, n, open)
		began := time.Now()
		cluster.Must(t, n.Start())
		applied := waitLogged(t, n, began, "the last rules of the firewall are in force")
		first := waitLogged(t, n, began, "component ready")
		if first.Before(applied) {
			t.Errorf("a component was ready %s before the rules were in force", applied.Sub(first))
		}
		state(t, n, "enforces what was proven", func(v view.Node) bool { return v.HostRules == 1 && v.Wanted == 0 })
		enforces(t, near, n, open)
	})
	t.Run("damaged", func(t *testing.T) {
		cluster.Must(t, n.Kill())
		reboot(t, n)
		serves(whole, n)
		data, err := n.Host.ReadFile(stateFile)
		cluster.Must(t, err)
		data[len(data)/2] ^= 1
		cluster.Must(t, n.Host.WriteFile(stateFile, data, 0o600))
		cluster.Must(t, n.Start())
		v := state(t, n, "has the minimal safe set", func(v view.Node) bool { return v.Minimal })
		if v.HostRules != 0 {
			t.Errorf("it enforces %+v", v)
		}
		enforces(t, near, n, "")
		cluster.Must(t, c.Lab.Site("site1").Uplink.Heal())
		state(t, n, "hears the server", func(v view.Node) bool { return proven(v) && v.HostRules == 1 && !v.Minimal })
		enforces(t, near, n, open)
		events, err := c.TryKubectl(t.Context(), "get", "events", "-A", "--field-selector", "reason=FirewallMinimal", "-o", "name")
		if err != nil || events == "" {
			t.Errorf("events: %q, %v", events, err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		cluster.Must(t, n.Stop(t.Context()))
		enforces(t, near, n, open)
		_, err := n.Kedge(t.Context(), "reset", "--yes")
		cluster.Must(t, err)
		out, _, err := n.Host.Run(t.Context(), "sh", "-c", "iptables-save; ip6tables-save; ipset list -name")
		if err != nil || strings.Contains(out, "KEDGE-FW") || strings.Contains(out, "kfw") {
			t.Errorf("reset leaves: %v %s", err, out)
		}
	})
}

// reboot takes the machine's power away and gives it back.
func reboot(t *testing.T, n *cluster.Node) {
	t.Helper()
	cluster.Must(t, n.Host.PowerOff())
	cluster.Must(t, n.Host.PowerOn(t.Context()))
}

// serves listens on the node until it has no power.
func serves(t *testing.T, n *cluster.Node) {
	t.Helper()
	for _, port := range []string{open, shut, "8003"} {
		l, err := n.Host.Listen("tcp4", ":"+port)
		cluster.Must(t, err)
		t.Cleanup(func() { _ = l.Close() })
	}
}

func reachable(t *testing.T, from *lab.Host, to *cluster.Node, port string) bool {
	t.Helper()
	return dial(t.Context(), from, "tcp4", net.JoinHostPort(to.Host.IP(), port)) == nil
}

// enforces looks at real packets: the port is open, the failsafe one is, others are
// not.
func enforces(t *testing.T, from *lab.Host, n *cluster.Node, port string) {
	t.Helper()
	want := map[string]bool{open: port == open, shut: false, "8003": true}
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("%s lets in %v", n.Name(), want), func(context.Context) error {
		for p, is := range want {
			if reachable(t, from, n, p) != is {
				return errors.New("port " + p + " is not as it should be")
			}
		}
		return nil
	})
}

// waitLogged waits for a line of the daemon's log that is younger than that.
func waitLogged(t *testing.T, n *cluster.Node, after time.Time, words string) (at time.Time) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the log has "+words, func(context.Context) (err error) {
		at, err = n.Logged(after, words)
		return err
	})
	return at
}
