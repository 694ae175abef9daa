package view

import (
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

// OfSpoke is the report of a node.
func OfSpoke(st spoke.Status) Report {
	return Report{Role: "agent", Links: []Link{{
		Peer: st.Server, Up: st.State == tunnel.StateReady, State: string(st.State), Since: st.Since,
		RTT: st.RTT, Reconnects: st.Reconnects, Streams: st.Streams, BytesIn: st.BytesIn, BytesOut: st.BytesOut,
		Traffic: st.Bytes, Packets: Packets{In: st.PacketsIn, Out: st.PacketsOut, Dropped: st.PacketsDropped},
		Software: st.Software, Features: st.Capabilities, LastError: st.LastError, Lanes: st.Lanes,
	}}}
}
