package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kedge-io/kedge/tunnel"
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
	return h.dial(ctx, name, target)
}

// DialBench opens a stream to one of the node's targets for measurements:
// [tunnel.TargetEcho], [tunnel.TargetSink] or [tunnel.TargetSource].
func (h *Hub) DialBench(ctx context.Context, name tunnel.NodeName, target tunnel.Target) (net.Conn, error) {
	switch target {
	case tunnel.TargetEcho, tunnel.TargetSink, tunnel.TargetSource:
		return h.dial(ctx, name, target)
	}
	return nil, fmt.Errorf("dial %s on node %q: not a target for measurements", target, name)
}

// DialStatus opens a stream to [tunnel.TargetStatus] of the node.
func (h *Hub) DialStatus(ctx context.Context, name tunnel.NodeName) (net.Conn, error) {
	return h.dial(ctx, name, tunnel.TargetStatus)
}

func (h *Hub) dial(ctx context.Context, name tunnel.NodeName, target tunnel.Target) (net.Conn, error) {
	started := time.Now()
	conn, err := h.dialThrough(ctx, name, target)
	if err != nil {
		h.countFailure(name, tunnel.KindOf(err))
	}
	h.cfg.Observe.Dialled(name, err, time.Since(started))
	return conn, err
}

// countFailure counts for nodes that were here: names that nobody has must not
// fill the table.
func (h *Hub) countFailure(name tunnel.NodeName, kind tunnel.Refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[name]
	if n == nil {
		return
	}
	if n.dialErrors == nil {
		n.dialErrors = map[tunnel.Refusal]int64{}
	}
	n.dialErrors[kind]++
}

func (h *Hub) dialThrough(ctx context.Context, name tunnel.NodeName, target tunnel.Target) (net.Conn, error) {
	wait := time.NewTimer(h.cfg.Wait)
	defer wait.Stop()
	var cause error
	for {
		l, changed, lost := h.find(name)
		if l != nil {
			conn, err := l.open(ctx, target)
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

// find returns the link of a node or, if it may come back soon, a channel that
// is closed when there is news.
func (h *Hub) find(name tunnel.NodeName) (l *link, changed <-chan struct{}, lost time.Time) {
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
	if n.link != nil {
		return n.link, n.changed, n.lost
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
