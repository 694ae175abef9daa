package server

import (
	"context"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/relay"
)

// relaySwitch is the name of the component that tells the switch of pod packets
// where nodes are.
const relaySwitch = "relay-switch"

// buildRelay makes the switch, which the hub feeds and which feeds the hub.
func (s *Server) buildRelay() {
	s.relay = relay.New(relay.Config{
		Send: func(node tunnel.NodeName, p []byte) bool { return s.hub.SendPacket(node, p) },
	}, s.log)
	if name := s.localNode(); name != "" {
		s.local = relay.NewLocal(s.relay, tunnel.NodeName(name))
	}
}

// Relay is the way of the server's own node to pods of other sites, which needs
// no link; nil if the server runs no node.
func (s *Server) Relay() *relay.Local { return s.local }

// relayComponent keeps the switch's routes as the nodes have their pod ranges.
func (s *Server) relayComponent(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: relaySwitch, Needs: needs, Run: func(ctx context.Context, ready func()) error {
		told := false
		for {
			ranges, changed, err := s.egress.Ranges(ctx)
			if err != nil {
				return ctx.Err()
			}
			s.relay.SetRoutes(ranges)
			if !told {
				told = true
				ready()
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
		}
	}}
}
