package spoke

import (
	"context"
	"net"

	"github.com/kedge-io/kedge/tunnel"
)

// maxFirewall is how many streams of the edge firewall a node serves at a time:
// the one of now, and those that are just ending.
const maxFirewall = 4

// firewall hands the server's stream to who serves it.
func (s *Spoke) firewall(t tunnel.Target) (net.Conn, error) {
	refuse := func(kind tunnel.Refusal, reason string) error {
		return &tunnel.RefusedError{What: "dial " + t.String(), Kind: kind, Reason: reason}
	}
	if s.cfg.Firewall == nil {
		return nil, refuse(tunnel.RefusedAccess, "the node has no edge firewall")
	}
	if s.firewalls.Add(1) > maxFirewall {
		s.firewalls.Add(-1)
		return nil, refuse(tunnel.RefusedOverload, "too many streams of the edge firewall at a time")
	}
	theirs, ours := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s.serving.Go(func() {
		defer s.firewalls.Add(-1)
		defer ours.Close()
		s.cfg.Firewall(ctx, ours)
	})
	return &counted{Conn: theirs, ended: cancel}, nil
}
