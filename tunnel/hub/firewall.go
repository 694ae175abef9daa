package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// ErrNoFirewall says that a node's kedge is older than the edge firewall, or
// does not run it.
var ErrNoFirewall = errors.New("the node does not enforce the edge firewall; install this server's kedge version on it")

// DialFirewall opens a stream to [tunnel.TargetFirewall] of a node that is
// connected now, on its control lane: neither copies nor the loss of another
// lane delay it. It waits for nobody; a node without the capability is not
// dialled, and the error wraps [ErrNoFirewall]. Otherwise errors are those of
// [Hub.DialNode].
func (h *Hub) DialFirewall(ctx context.Context, name tunnel.NodeName) (net.Conn, error) {
	started := time.Now()
	conn, err := h.dialFirewall(ctx, name)
	if err != nil && !errors.Is(err, ErrNoFirewall) {
		h.countFailure(name, tunnel.KindOf(err))
	}
	h.cfg.Observe.Dialled(name, err, time.Since(started))
	return conn, err
}

func (h *Hub) dialFirewall(ctx context.Context, name tunnel.NodeName) (net.Conn, error) {
	l := h.current(name)
	if l == nil {
		return nil, notConnected(name, time.Time{}, nil)
	}
	if !l.has(transport.CapabilityFirewall) {
		return nil, fmt.Errorf("node %q: %w", name, ErrNoFirewall)
	}
	conn, err := l.control.Open(ctx, tunnel.TargetFirewall)
	if err != nil {
		return nil, fmt.Errorf("node %q: %w", name, err)
	}
	return conn, nil
}
