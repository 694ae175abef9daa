package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/brake"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// laneGrace is how long a dial waits for the interactive lane of a link that
// has lanes. It covers the moments after a connect and while the lane is
// replaced; after that the control lane carries the stream.
const laneGrace = 2 * time.Second

// link is one session of a node: its control session and, where both ends have
// them, lanes.
type link struct {
	node    tunnel.NodeName
	control *transport.Session
	order   uint64 // later connections have higher ones
	// grant and mux are nil for a node without lanes.
	grant *transport.Grant
	mux   *mux.Session
	brake *brake.Brake
	// capabilities are those that both ends have.
	capabilities []string

	// attaching keeps two lanes of one key in the same order here and in mux. It
	// is taken before mu.
	attaching sync.Mutex

	mu      sync.Mutex
	lanes   map[laneKey]*lane
	wanting map[tunnel.Lane]bool
	// changed is closed and replaced when the interactive lane comes or goes.
	changed chan struct{}
}

type laneKey struct {
	class tunnel.Lane
	index int
}

// lane is the connection of a lane; its close takes it out of the table.
type lane struct {
	net.Conn
	link *link
	key  laneKey
	up   bool // guarded by link.mu
}

// NetConn returns the connection below.
func (c *lane) NetConn() net.Conn { return c.Conn }

// Close implements net.Conn.
func (c *lane) Close() error {
	c.link.gone(c)
	return c.Conn.Close()
}

// newLink makes the link of a control session that is not yet proven.
func (h *Hub) newLink(node tunnel.NodeName, control *transport.Session, order uint64) *link {
	l := &link{
		node: node, control: control, order: order, capabilities: h.common(control.Peer()),
		lanes: map[laneKey]*lane{}, wanting: map[tunnel.Lane]bool{}, changed: make(chan struct{}),
	}
	if !l.has(transport.CapabilityLanes) {
		return l
	}
	l.grant = transport.NewGrant()
	cfg := h.cfg.Lanes
	cfg.WantLane = func(class tunnel.Lane) { h.spawn(func() { l.want(class) }) }
	if h.cfg.Packet != nil {
		cfg.Packet = func(p []byte) { h.cfg.Packet(node, p) }
	}
	l.mux, l.brake = mux.New(false, cfg), brake.New()
	return l
}

func (l *link) has(capability string) bool {
	return transport.Hello{Capabilities: l.capabilities}.Has(capability)
}

// attach makes conn a lane of the link.
func (l *link) attach(class tunnel.Lane, index int, conn net.Conn) error {
	l.attaching.Lock()
	defer l.attaching.Unlock()
	c := &lane{Conn: l.brake.Hold(class, conn), link: l, key: laneKey{class, index}}
	l.mu.Lock()
	l.lanes[c.key] = c
	l.mu.Unlock()
	if _, err := l.mux.Attach(class, index, c); err != nil {
		_ = c.Close()
		return fmt.Errorf("attach lane %s/%d: %w", class, index, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// Unless it has ended already, or been replaced.
	c.up = l.lanes[c.key] == c
	l.notifyLocked(class)
	return nil
}

// gone is told that the connection of a lane was closed.
func (l *link) gone(c *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes[c.key] == c {
		delete(l.lanes, c.key)
		l.notifyLocked(c.key.class)
	}
}

func (l *link) notifyLocked(class tunnel.Lane) {
	if class == tunnel.LaneInteractive {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// interactive says whether streams can go over lanes now, and what to wait for.
func (l *link) interactive() (up bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.lanes[laneKey{class: tunnel.LaneInteractive}]
	return at != nil && at.up, l.changed
}

// open dials through the lanes or, without them, through the control session.
func (l *link) open(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	if l.mux == nil {
		return l.control.Open(ctx, t)
	}
	grace := time.NewTimer(laneGrace)
	defer grace.Stop()
	for {
		up, changed := l.interactive()
		if up {
			conn, err := l.mux.Open(ctx, t)
			if now, _ := l.interactive(); err == nil || now || l.mux.Err() != nil || ctx.Err() != nil || refused(err) {
				return conn, err
			}
			// The lane ended during the dial. Nothing was sent to the target.
		}
		select {
		case <-changed:
		case <-grace.C:
			return l.control.Open(ctx, t)
		case <-l.control.Done():
			return nil, l.control.Err()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func refused(err error) bool {
	var r *tunnel.RefusedError
	return errors.As(err, &r)
}

// wantTimeout bounds the asking for a lane.
const wantTimeout = 10 * time.Second

// want asks the node for one more lane of a class, once at a time. Bulk is the
// only class that a node does not keep by itself.
func (l *link) want(class tunnel.Lane) {
	if class != tunnel.LaneBulk {
		return
	}
	l.mu.Lock()
	busy := l.wanting[class]
	l.wanting[class] = true
	l.mu.Unlock()
	if busy {
		return
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wanting[class] = false
	}()
	ctx, cancel := context.WithTimeout(context.Background(), wantTimeout)
	defer cancel()
	// A refusal has no consequence: streams stay where they are.
	if conn, err := l.control.Open(ctx, tunnel.TargetWant(class)); err == nil {
		_ = conn.Close()
	}
}

// close ends the link. Streams end first, with the reason of the link; once the
// node knows, it closes the lanes from its end.
func (l *link) close(reason error) {
	if l.mux != nil {
		l.mux.Close(reason)
	}
	l.control.Close(reason)
}

// wait returns when control session, lanes and streams have ended.
func (l *link) wait() {
	<-l.control.Done()
	if l.mux != nil {
		l.mux.Close(cause(l.control.Err()))
		<-l.mux.Done()
	}
}

// cause takes away tunnel.ErrSessionClosed, which the mux adds again.
func cause(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		if errs := many.Unwrap(); len(errs) == 2 && errs[0] == tunnel.ErrSessionClosed {
			return errs[1]
		}
	}
	return err
}
