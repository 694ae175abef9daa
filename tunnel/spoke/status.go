package spoke

import (
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// Status returns the state of now.
func (s *Spoke) Status() Status {
	s.mu.Lock()
	st, session := s.status, s.session
	s.mu.Unlock()
	if session == nil {
		return st
	}
	stats := session.Stats()
	st.Streams, st.RTT, st.BytesIn, st.BytesOut = stats.Streams, stats.RTT, stats.BytesIn, stats.BytesOut
	st.Software, st.Capabilities = session.Peer().Software, s.common(session.Peer())
	st.Bytes = map[tunnel.Lane]tunnel.Traffic{tunnel.LaneControl: {In: stats.BytesIn, Out: stats.BytesOut}}
	st.Lanes = []tunnel.LaneStatus{{
		Class: tunnel.LaneControl, RTT: stats.RTT, SmoothedRTT: stats.SmoothedRTT, Since: session.Since(),
		Streams: stats.Streams, BytesIn: stats.BytesIn, BytesOut: stats.BytesOut, RemoteAddr: session.RemoteAddr().String(),
	}}
	if k := s.lanes.Load(); k != nil {
		k.status(&st)
	}
	return st
}

// common returns the capabilities that this node and the server have.
func (s *Spoke) common(peer transport.Hello) []string {
	var both []string
	for _, word := range s.capabilities() {
		if peer.Has(word) {
			both = append(both, word)
		}
	}
	return both
}

// SendPacket queues a copy of p for a pod elsewhere. It never waits: false says
// that the packet was dropped.
func (s *Spoke) SendPacket(p []byte) bool {
	k := s.lanes.Load()
	return k != nil && k.mux.SendPacket(p)
}
