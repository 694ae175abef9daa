package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/firewall"
	"github.com/kedge-io/kedge/server/links"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/metrics"
	"github.com/kedge-io/kedge/tunnel/view"
)

// observer tells those that a link came or went who show it on the node or send
// rules through it.
type observer struct {
	links    *links.Links
	firewall *firewall.Firewall // nil if disabled
}

// Up implements hub.Observer.
func (o observer) Up(node tunnel.NodeName, _ bool) {
	o.links.Changed(string(node))
	if o.firewall != nil {
		o.firewall.Up(string(node))
	}
}

// Down implements hub.Observer.
func (o observer) Down(node tunnel.NodeName, _ error) {
	o.links.Changed(string(node))
	if o.firewall != nil {
		o.firewall.Down(string(node))
	}
}

// Dialled implements hub.Observer. The hub counts failures itself.
func (o observer) Dialled(tunnel.NodeName, error, time.Duration) {}

// buildHub builds the hub and those who show what it knows.
func (s *Server) buildHub() error {
	s.links = links.New(links.Config{Client: s.supervisorClient, State: s.linkState, OwnNode: s.localNode()}, s.log)
	var err error
	s.hub, err = hub.New(hub.Config{
		ClientCAs: s.join.ClientCAs, Admit: s.join.AdmitNode, Now: s.cfg.Now,
		LocalNode: tunnel.NodeName(s.localNode()), Software: s.cfg.Version,
		Packet: s.relay.From, Observe: observer{s.links, s.firewall},
	}, s.log)
	return err
}

// errDeleted is what the tunnel of a deleted node is told.
var errDeleted = errors.New("the node was deleted from the cluster")

// forget takes a deleted node out of what is known of links. A node that still
// runs registers again and comes back.
func (s *Server) forget(node string) {
	s.hub.Disconnect(tunnel.NodeName(node), errDeleted)
	s.hub.Forget(tunnel.NodeName(node))
}

// hubComponent ends the nodes' links at a stop. The hub itself takes links as
// soon as the API server's listener hands them over.
func (s *Server) hubComponent() lifecycle.Component {
	return lifecycle.Component{Name: "tunnel-hub", Run: func(ctx context.Context, ready func()) error {
		figures := metrics.New(s.linkReport)
		if err := legacyregistry.Registerer().Register(figures); err != nil {
			return fmt.Errorf("register the metrics of the links: %w", err)
		}
		ready()
		figures.Run(ctx)
		s.hub.Close()
		return ctx.Err()
	}}
}

func (s *Server) linkState(node string) links.State {
	st, ok := s.hub.StatusOf(tunnel.NodeName(node))
	switch {
	case !ok:
		return links.State{}
	case st.Connected:
		return links.State{Up: true, Since: st.Since, Message: "connected from " + st.RemoteAddr}
	}
	return links.State{Since: st.Since, Message: st.LastError}
}

func (s *Server) linkReport() view.Report { return view.OfHub(s.hub.Status(), s.relay.Stats()) }

// LinkHandlers are what kedge link asks for, by path, for the status socket.
func (s *Server) LinkHandlers() map[string]http.Handler {
	return map[string]http.Handler{
		view.PathStatus: view.StatusHandler(s.linkReport),
		view.PathBench:  view.BenchHandler(notItself(s.localNode(), s.hub.DialBench)),
	}
}

// notItself refuses to measure the link of the server's own node, which has none.
func notItself(local string, dial view.DialNode) view.DialNode {
	return func(ctx context.Context, node tunnel.NodeName, target tunnel.Target) (net.Conn, error) {
		if local != "" && string(node) == local {
			return nil, fmt.Errorf("%s is this server's own node: it has no link, so its line cannot be measured from here", node)
		}
		return dial(ctx, node, target)
	}
}
