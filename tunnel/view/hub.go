package view

import (
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/relay"
)

// OfHub is the report of a server.
func OfHub(nodes []hub.NodeStatus, packets relay.Stats) Report {
	relayed := map[tunnel.NodeName]relay.NodeStats{}
	for _, n := range packets.Nodes {
		relayed[n.Node] = n
	}
	r := Report{Role: "server", Links: make([]Link, 0, len(nodes))}
	for _, n := range nodes {
		l := Link{
			Peer: string(n.Node), Up: n.Connected, State: "down", Since: n.Since, RemoteAddr: n.RemoteAddr,
			RTT: n.RTT, Reconnects: n.Reconnects, Streams: n.Streams, BytesIn: n.BytesIn, BytesOut: n.BytesOut,
			Traffic: n.Bytes, Packets: Packets{In: n.PacketsIn, Out: n.PacketsOut, Dropped: n.PacketsDropped},
			Software: n.Software, Features: n.Capabilities, DialErrors: map[string]int64{}, LastError: n.LastError, Lanes: n.Lanes,
		}
		if n.Connected {
			l.State = "up"
		}
		l.Packets.Lost, l.Packets.Refused = relayed[n.Node].Lost, map[string]int64{}
		for reason, count := range relayed[n.Node].Dropped {
			l.Packets.Refused[string(reason)] = count
		}
		for kind, count := range n.DialErrors {
			l.DialErrors[string(kind)] = count
		}
		r.Links = append(r.Links, l)
	}
	return r
}
