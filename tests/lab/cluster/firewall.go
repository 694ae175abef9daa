package cluster

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/kedge-io/kedge/edgefw/view"
)

// Firewall is what the daemon says about the firewall of its node.
func (n *Node) Firewall(ctx context.Context) (view.Node, error) {
	var s view.Node
	err := n.socket(ctx, view.PathNode, func(body io.Reader) error { return json.NewDecoder(body).Decode(&s) })
	return s, err
}

// FirewallDifferences are the lines in which the kernel differs from what the daemon wants there;
// empty if it is as it should be.
func (n *Node) FirewallDifferences(ctx context.Context) (string, error) {
	var text []byte
	err := n.socket(ctx, view.PathCheck, func(body io.Reader) (err error) {
		text, err = io.ReadAll(body)
		return err
	})
	return strings.TrimSpace(string(text)), err
}
