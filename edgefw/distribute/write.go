package distribute

import (
	"net"
	"time"

	"github.com/kedge-io/kedge/edgefw/protocol"
)

// joined is up to which size header and body of an update are sent in one write.
const joined = 32 << 10

// pushLocked sends a node what it lacks, if it may get something now.
func (d *Distributor) pushLocked(n *node) {
	s := n.session
	if s == nil || s.writing || !s.dueLocked() {
		return
	}
	s.writing = true
	d.wg.Go(s.write)
}

// dueLocked says whether an update is to be sent.
func (s *session) dueLocked() bool {
	n := s.node
	return s.conn != nil && n.session == s && n.target != nil && s.sent < n.wanted && len(s.flight) < inFlight
}

// order is one update that is to be sent.
type order struct {
	conn     net.Conn
	to       *target
	revision uint64
	held     protocol.Manifest
	root     protocol.Hash
}

// write sends until nothing is due.
func (s *session) write() {
	for {
		o, ok := s.next()
		if !ok {
			return
		}
		sent, err := s.send(o)
		s.d.mu.Lock()
		if err == nil {
			s.d.figures.Updates++
		}
		s.d.figures.Bytes += uint64(sent)
		s.d.mu.Unlock()
		if err != nil {
			s.end(o.conn, err)
		}
	}
}

// next takes the newest update that is due and counts it as sent.
func (s *session) next() (order, bool) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if !s.dueLocked() {
		s.writing = false
		return order{}, false
	}
	n := s.node
	o := order{conn: s.conn, to: n.target, revision: n.wanted, held: s.held, root: s.heldRoot}
	s.sent, s.held, s.heldRoot = n.wanted, n.target.manifest, n.target.root
	s.flight = append(s.flight, n.wanted)
	s.watchLocked()
	return o, true
}

// send writes an update and returns how many bytes of it went out.
func (s *session) send(o order) (int, error) {
	b, err := s.d.library.body(o.held, o.root, o.to)
	if err != nil {
		return 0, err
	}
	header, err := protocol.AppendUpdateHeader(nil, o.revision, o.to.root, b.drop, b.parts)
	if err != nil {
		return 0, err
	}
	if len(b.bytes) <= joined {
		return s.writeAll(o.conn, append(header, b.bytes...))
	}
	n, err := s.writeAll(o.conn, header)
	if err != nil {
		return n, err
	}
	m, err := s.writeAll(o.conn, b.bytes)
	return n + m, err
}

// writeAll gives each chunk its time: a thin line may be slow, but not stand.
func (s *session) writeAll(conn net.Conn, b []byte) (sent int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		_ = conn.SetWriteDeadline(time.Now().Add(s.d.cfg.progressTime))
		n, err = conn.Write(b[:min(len(b), writeChunk)])
		sent, b = sent+n, b[n:]
		s.progressed(conn, n)
	}
	return sent, err
}
