package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/testx"
)

// Firewall is how far the node's own firewall is.
func (n *Node) Firewall(ctx context.Context) (view.Node, error) {
	var v view.Node
	err := n.socket(ctx, view.PathNode, func(body io.Reader) error { return json.NewDecoder(body).Decode(&v) })
	return v, err
}

// FirewallRuleset is what the node enforces, as text.
func (n *Node) FirewallRuleset(ctx context.Context) (string, error) {
	return n.text(ctx, view.PathRuleset)
}

// FirewallDifferences has a line for each thing in the node's kernel that is not as it should be.
func (n *Node) FirewallDifferences(ctx context.Context) (string, error) {
	return n.text(ctx, view.PathCheck)
}

func (n *Node) text(ctx context.Context, path string) (string, error) {
	var text []byte
	err := n.socket(ctx, path, func(body io.Reader) error {
		var err error
		text, err = io.ReadAll(body)
		return err
	})
	return string(text), err
}

// Firewalls is how far all nodes are, as the server says.
func (c *Cluster) Firewalls(ctx context.Context) (view.Fleet, error) {
	var v view.Fleet
	err := c.Server.socket(ctx, view.PathStatus, func(body io.Reader) error { return json.NewDecoder(body).Decode(&v) })
	return v, err
}

// Explain is what the server says becomes of a packet.
func (c *Cluster) Explain(ctx context.Context, from, to, protocol string) (view.Explanation, error) {
	var v view.Explanation
	q := url.Values{view.QueryFrom: {from}, view.QueryTo: {to}, view.QueryProtocol: {protocol}}
	err := c.Server.socket(ctx, view.PathExplain+"?"+q.Encode(), func(body io.Reader) error { return json.NewDecoder(body).Decode(&v) })
	return v, err
}

// WaitEnforced waits until all nodes that an EdgeFirewall selects enforce it as it was applied last.
func (c *Cluster) WaitEnforced(t testing.TB, name string) {
	t.Helper()
	testx.Eventually(t, Patience, "EdgeFirewall "+name+" is enforced", func(ctx context.Context) error {
		out, err := c.TryKubectl(ctx, "get", "edgefirewall", name, "-o",
			`jsonpath={.metadata.generation}/{.status.observedGeneration} {.status.conditions[?(@.type=="Enforced")].status} {.status.nodes} {.status.problems}`)
		if err != nil {
			return err
		}
		var generation, observed int64
		var status string
		if _, err := fmt.Sscanf(out, "%d/%d %s", &generation, &observed, &status); err != nil || generation != observed || status != "True" {
			return fmt.Errorf("it says %q", out)
		}
		return nil
	})
}
