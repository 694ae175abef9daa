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

// DialNode connects to addr (IP:port) as seen from the node. It waits for a
// node that is just coming back, at most Config.Wait. The error is a
// *tunnel.NotConnectedError, a *tunnel.RefusedError with the node's reason, or
// that of ctx.
func (h *Hub) DialNode(ctx context.Context, name tunnel.NodeName, network, addr string) (net.Conn, error) {
	if name != "" && name == h.cfg.LocalNode {
		return h.cfg.LocalDial(ctx, network, addr)
	}
	target := tunnel.Target{Network: network, Address: addr}
	if network != tunnel.NetworkTCP {
		return nil, fmt.Errorf("dial %s on node %q: network must be %q", target, name, tunnel.NetworkTCP)
	}
	wait := time.NewTimer(h.cfg.Wait)
	defer wait.Stop()
	var cause error
	for {
		session, changed, lost := h.find(name)
		if session != nil {
			conn, err := session.Open(ctx, target)
			if err == nil {
				return conn, nil
			}
			if !errors.Is(err, tunnel.ErrSessionClosed) {
				return nil, fmt.Errorf("node %q: %w", name, err)
			}
			cause = err
			// What ended is taken out in a moment; the next session is better.
		} else if changed == nil {
			return nil, notConnected(name, lost, cause)
		}
		select {
		case <-changed:
		case <-wait.C:
			return nil, notConnected(name, lost, cause)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", notConnected(name, lost, cause), ctx.Err())
		}
	}
}

// find returns the session of a node or, if it may come back soon, a channel
// that is closed when there is news.
func (h *Hub) find(name tunnel.NodeName) (s *transport.Session, changed <-chan struct{}, lost time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[name]
	if n == nil {
		if h.closed || time.Since(h.started) > h.cfg.Recent {
			return nil, nil, time.Time{}
		}
		// A server that just started has seen nobody yet. Only names that the
		// apiserver knows are asked for, so this does not grow without bound.
		n = h.nodeLocked(name)
	}
	if n.session != nil {
		return n.session, n.changed, n.lost
	}
	if h.closed || (time.Since(n.lost) > h.cfg.Recent && time.Since(h.started) > h.cfg.Recent) {
		return nil, nil, n.lost
	}
	return nil, n.changed, n.lost
}

// DialKubelet is for the apiserver's kubelet client with node names as
// addresses: the host of addr is the node, and the same port of its loopback
// address, where its kubelet serves, is dialled.
func (h *Hub) DialKubelet(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial kubelet %q: %w", addr, err)
	}
	return h.DialNode(ctx, tunnel.NodeName(host), network, net.JoinHostPort("127.0.0.1", port))
}
