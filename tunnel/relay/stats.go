package relay

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/relay/packet"
)

// Reason says why a packet went nowhere. The strings are labels of metrics. The
// faults of tunnel/relay/packet are reasons as well.
type Reason string

// The reasons besides a packet's own faults.
const (
	// NoRange: the sender has no pod range, so it cannot send anything.
	NoRange Reason = "no-range"
	// ForeignSource: the source address is not in the sender's range.
	ForeignSource Reason = "foreign-source"
	// NoRoute: no node has the destination.
	NoRoute Reason = "no-route"
	// Returned: the destination is in the sender's own range.
	Returned Reason = "returned"
	// NotTaken: the destination's node is not connected, or its queue is full.
	NotTaken Reason = "not-taken"
)

// reasons is the order in which they are counted.
var reasons = [...]Reason{
	Reason(packet.Malformed), Reason(packet.IPv6), Reason(packet.Options), Reason(packet.Offload),
	NoRange, ForeignSource, NoRoute, Returned, NotTaken,
}

type counters struct {
	in, bytesIn, out, bytesOut, lost atomic.Int64

	dropped [len(reasons)]atomic.Int64
}

func (c *counters) drop(r Reason) {
	if i := slices.Index(reasons[:], r); i >= 0 {
		c.dropped[i].Add(1)
	}
}

// drops leaves out what never happened.
func (c *counters) drops() map[Reason]int64 {
	found := map[Reason]int64{}
	for i, r := range reasons {
		if n := c.dropped[i].Load(); n > 0 {
			found[r] = n
		}
	}
	return found
}

// NodeStats are the figures of one node since the switch knows it.
type NodeStats struct {
	Node tunnel.NodeName `json:"node"`
	// PacketsIn and BytesIn came from the node, good or not.
	PacketsIn int64 `json:"packetsIn"`
	BytesIn   int64 `json:"bytesIn"`
	// PacketsOut and BytesOut were handed to the node's link.
	PacketsOut int64 `json:"packetsOut"`
	BytesOut   int64 `json:"bytesOut"`
	// Lost were for the node, which was away or whose queue was full.
	Lost int64 `json:"lost"`
	// Dropped counts what came from the node and went nowhere, by reason.
	Dropped map[Reason]int64 `json:"dropped,omitempty"`
}

// Stats are the figures of a switch.
type Stats struct {
	// Nodes are those with a pod range, by name.
	Nodes []NodeStats `json:"nodes"`
	// Strange counts the packets of nodes without a pod range.
	Strange int64 `json:"strange"`
}

// Stats returns the figures of now.
func (s *Switch) Stats() Stats {
	st := Stats{Strange: s.strange.drops()[NoRange]}
	for name, m := range s.table.Load().members {
		st.Nodes = append(st.Nodes, NodeStats{
			Node: name, PacketsIn: m.in.Load(), BytesIn: m.bytesIn.Load(),
			PacketsOut: m.out.Load(), BytesOut: m.bytesOut.Load(), Lost: m.lost.Load(), Dropped: m.drops(),
		})
	}
	slices.SortFunc(st.Nodes, func(a, b NodeStats) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return st
}
