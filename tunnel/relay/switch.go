package relay

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/relay/packet"
)

// Port takes packets for one node.
type Port interface {
	// Send takes a copy of p, a virtio_net_hdr and an IP packet, or drops it
	// and returns false. It must not block.
	Send(p []byte) bool
}

// Config is what a switch needs to know.
type Config struct {
	// Send hands a packet to a node without a port of its own, which is one
	// behind a link. Same contract as [Port].
	Send func(node tunnel.NodeName, p []byte) bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Switch hands packets from node to node. Its methods may be called at any time
// from any goroutine; [Switch.From] takes no lock.
type Switch struct {
	send    func(tunnel.NodeName, []byte) bool
	now     func() time.Time
	log     *slog.Logger
	hostile *quiet.Log
	strange counters // of senders that have no pod range

	table atomic.Pointer[table]
	mu    sync.Mutex // one change of the table or of the ports at a time
	ports map[tunnel.NodeName]Port
}

// New returns a switch that knows no node yet, and so drops everything.
func New(cfg Config, log *slog.Logger) *Switch {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Switch{
		send: cfg.Send, now: cfg.Now, log: log.With("component", "relay-switch"),
		hostile: quiet.New(cfg.Now), ports: map[tunnel.NodeName]Port{},
	}
	s.table.Store(&table{})
	return s
}

// SetRoutes replaces what the switch knows of the nodes' pod ranges. Of ranges
// that contain each other the longer one wins. Counters of nodes that stay are
// kept.
func (s *Switch) SetRoutes(routes map[netip.Prefix]tunnel.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := newTable(routes, s.table.Load())
	for name, m := range next.members {
		m.attach(s.ports[name])
	}
	s.table.Store(next)
}

// Attach gives a node a port, in place of Config.Send: the server's own node,
// which has no link. It may come before or after the node's route.
func (s *Switch) Attach(node tunnel.NodeName, p Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[node] = p
	if m := s.table.Load().members[node]; m != nil {
		m.attach(p)
	}
}

// Detach takes a node's port away.
func (s *Switch) Detach(node tunnel.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ports, node)
	if m := s.table.Load().members[node]; m != nil {
		m.attach(nil)
	}
}

// From takes a packet that node has sent: a virtio_net_hdr and an IP packet,
// valid during the call. node is who the link says, never what a packet says.
// It does not block and tells nobody but the counters what became of it.
func (s *Switch) From(node tunnel.NodeName, p []byte) {
	t := s.table.Load()
	from := t.members[node]
	if from == nil {
		s.strange.drop(NoRange)
		return
	}
	from.in.Add(1)
	from.bytesIn.Add(int64(len(p)))
	if reason := s.forward(t, from, p); reason != "" {
		from.drop(reason)
	}
}

func (s *Switch) forward(t *table, from *member, p []byte) Reason {
	info, fault := packet.Parse(p)
	if fault != packet.None {
		if fault != packet.IPv6 {
			s.note(from.name, Reason(fault), info)
		}
		return Reason(fault)
	}
	if t.lookup(info.Source) != from {
		s.note(from.name, ForeignSource, info)
		return ForeignSource
	}
	to := t.lookup(info.Destination)
	switch to {
	case nil:
		s.answer(from, p, info)
		return NoRoute
	case from:
		return Returned
	}
	if !s.deliver(to, p) {
		to.lost.Add(1)
		return NotTaken
	}
	to.out.Add(1)
	to.bytesOut.Add(int64(len(p)))
	return ""
}

func (s *Switch) deliver(to *member, p []byte) bool {
	if port := to.port.Load(); port != nil {
		return (*port).Send(p)
	}
	return s.send != nil && s.send(to.name, p)
}

// note logs a packet that no healthy node sends.
func (s *Switch) note(node tunnel.NodeName, reason Reason, info packet.Info) {
	if !s.hostile.First(string(node) + " " + string(reason)) {
		return
	}
	args := []any{"node", node, "reason", reason}
	if info.Source.IsValid() {
		args = append(args, "source", info.Source, "destination", info.Destination)
	}
	s.log.Warn("packets of a node are dropped", args...)
}

// answerEvery is how often a node is told of destinations that do not exist.
const answerEvery = 10 * time.Millisecond

// answer tells the sender that no node has the destination, so that its pods
// need not wait for a timeout. A node that is merely away is not reported: it
// will be back, and connections outlive that.
func (s *Switch) answer(from *member, p []byte, info packet.Info) {
	now, last := s.now().UnixNano(), from.answered.Load()
	if now-last < int64(answerEvery) || !from.answered.CompareAndSwap(last, now) {
		return
	}
	if reply := packet.Unreachable(p, info); reply != nil {
		s.deliver(from, reply)
	}
}
