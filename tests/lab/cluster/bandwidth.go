package cluster

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
)

// Bandwidth is what the daemon says about the bandwidth of its node.
func (n *Node) Bandwidth(ctx context.Context) (snapshot.Node, error) {
	var s snapshot.Node
	err := n.socket(ctx, snapshot.PathStatus, func(body io.Reader) error { return json.NewDecoder(body).Decode(&s) })
	return s, err
}

// BandwidthDifferences are the lines in which the kernel differs from what the daemon wants there;
// empty if it is as planned.
func (n *Node) BandwidthDifferences(ctx context.Context) (string, error) {
	var text []byte
	err := n.socket(ctx, snapshot.PathCheck, func(body io.Reader) (err error) {
		text, err = io.ReadAll(body)
		return err
	})
	return strings.TrimSpace(string(text)), err
}
