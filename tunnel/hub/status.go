package hub

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// LaneStatus is the state of one lane.
type LaneStatus = tunnel.LaneStatus

// NodeStatus is the state of one node's link.
type NodeStatus struct {
	Node      tunnel.NodeName `json:"node"`
	Connected bool            `json:"connected"`
	// RemoteAddr is where the control lane comes from, as this server sees it.
	RemoteAddr string `json:"remoteAddr,omitempty"`
	// Since is when the session began or, if not connected, when it ended.
	Since time.Time `json:"since"`
	// Streams is how many are open now, over all lanes.
	Streams int `json:"streams"`
	// RTT is the latest measured round trip in nanoseconds, of the interactive
	// lane where there is one; 0 while unknown.
	RTT time.Duration `json:"rtt"`
	// Reconnects counts the sessions after the first, since the hub started.
	Reconnects int `json:"reconnects"`
	// BytesIn comes from the node, BytesOut goes to it, in this session and
	// over all lanes.
	BytesIn  int64 `json:"bytesIn"`
	BytesOut int64 `json:"bytesOut"`
	// Bytes is the same by class, lanes that are gone included.
	Bytes map[tunnel.Lane]tunnel.Traffic `json:"bytes,omitempty"`
	// Lanes are those that are up, the control lane first.
	Lanes []LaneStatus `json:"lanes,omitempty"`
	// Capabilities are those that both ends have.
	Capabilities []string `json:"capabilities,omitempty"`
	// DialErrors counts failed dials since the hub started, by reason.
	DialErrors map[tunnel.Refusal]int64 `json:"dialErrors,omitempty"`
	// PacketsIn come from the node's pods, PacketsOut go to them, in this
	// session; PacketsDropped could not be sent in time.
	PacketsIn      int64 `json:"packetsIn"`
	PacketsOut     int64 `json:"packetsOut"`
	PacketsDropped int64 `json:"packetsDropped"`
	// Software is what the node says it runs.
	Software  string `json:"software,omitempty"`
	LastError string `json:"lastError,omitempty"`
}

// Status returns every node that connected since the hub started and was not
// forgotten, by name.
func (h *Hub) Status() []NodeStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]NodeStatus, 0, len(h.nodes))
	for name, n := range h.nodes {
		if n.order > 0 { // else asked for, but never here
			list = append(list, n.status(name))
		}
	}
	slices.SortFunc(list, func(a, b NodeStatus) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return list
}

// StatusOf returns the state of one node, false if it never connected since the
// hub started, or was forgotten.
func (h *Hub) StatusOf(name tunnel.NodeName) (NodeStatus, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[name]
	if n == nil || n.order == 0 {
		return NodeStatus{}, false
	}
	return n.status(name), true
}

// status is called with Hub.mu held.
func (n *node) status(name tunnel.NodeName) NodeStatus {
	st := NodeStatus{
		Node: name, Since: n.lost, Reconnects: n.reconnects, LastError: n.lastError,
		DialErrors: maps.Clone(n.dialErrors),
	}
	if n.link != nil {
		n.link.status(&st)
	}
	return st
}

func (l *link) status(st *NodeStatus) {
	stats := l.control.Stats()
	remote := l.control.RemoteAddr().String()
	st.Connected, st.RemoteAddr, st.Since = true, remote, l.control.Since()
	st.Streams, st.RTT, st.BytesIn, st.BytesOut = stats.Streams, stats.RTT, stats.BytesIn, stats.BytesOut
	st.Software, st.Capabilities = l.control.Peer().Software, l.capabilities
	st.Bytes = map[tunnel.Lane]tunnel.Traffic{tunnel.LaneControl: {In: stats.BytesIn, Out: stats.BytesOut}}
	st.Lanes = []LaneStatus{{
		Class: tunnel.LaneControl, RTT: stats.RTT, SmoothedRTT: stats.SmoothedRTT, Since: st.Since,
		Streams: stats.Streams, BytesIn: stats.BytesIn, BytesOut: stats.BytesOut, RemoteAddr: remote,
	}}
	if l.mux != nil {
		l.laneStatus(st)
	}
}

func (l *link) laneStatus(st *NodeStatus) {
	stats := l.mux.Stats()
	st.Streams += stats.Streams
	st.PacketsIn, st.PacketsOut, st.PacketsDropped = stats.PacketsIn, stats.PacketsOut, stats.PacketsDropped
	for class, bytes := range stats.Bytes {
		st.Bytes[class] = bytes
		st.BytesIn += bytes.In
		st.BytesOut += bytes.Out
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range stats.Lanes {
		st.Lanes = append(st.Lanes, s.Status(l.remoteLocked(s.Class, s.Index)))
		if s.Class == tunnel.LaneInteractive && s.RTT > 0 {
			st.RTT = s.RTT
		}
	}
}

func (l *link) remoteLocked(class tunnel.Lane, index int) string {
	if at := l.lanes[laneKey{class, index}]; at != nil {
		return at.RemoteAddr().String()
	}
	return ""
}
