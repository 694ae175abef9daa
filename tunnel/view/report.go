package view

import (
	"slices"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Report is every link of one daemon.
type Report struct {
	// Role is "server", whose links lead to nodes, or "agent", whose one link
	// leads to its server.
	Role string `json:"role"`
	// Links are sorted by Peer.
	Links []Link `json:"links"`
	// Servers are the ways from a node to the API, the user's own first; none
	// at a server.
	Servers []Server `json:"servers,omitempty"`
}

// Server is one address that a node may reach the API at.
type Server struct {
	Address string `json:"address"`
	// Given tells the address that the user gave from learned ones.
	Given bool `json:"given"`
	// State is a word for people.
	State string    `json:"state"`
	Since time.Time `json:"since,omitzero"`
	// Clients is how many connections of this node's clients go there.
	Clients   int    `json:"clients"`
	LastError string `json:"lastError,omitempty"`
}

// Link is the connection between this daemon and one other.
type Link struct {
	// Peer is the node's name at a server, the server's URL at a node.
	Peer string `json:"peer"`
	// Up tells that dials can go through now.
	Up bool `json:"up"`
	// State is a word for people: "up", "down", or what a node is doing about
	// its link.
	State string `json:"state"`
	// Since is when the state began; zero while it never was another.
	Since time.Time `json:"since,omitzero"`
	// RemoteAddr is where the connection comes from, as this end sees it.
	RemoteAddr string `json:"remoteAddr,omitempty"`
	// RTT is the latest measured round trip in nanoseconds; 0 while unknown.
	RTT time.Duration `json:"rtt"`
	// Reconnects counts the links after the first, since the daemon started.
	Reconnects int `json:"reconnects"`
	// Streams is how many are open now.
	Streams int `json:"streams"`
	// BytesIn came from the peer and BytesOut went to it, in this session.
	BytesIn  int64 `json:"bytesIn"`
	BytesOut int64 `json:"bytesOut"`
	// Traffic counts the bytes of each class since the daemon started.
	Traffic map[tunnel.Lane]tunnel.Traffic `json:"traffic,omitempty"`
	// Packets are those of pods that were relayed.
	Packets Packets `json:"packets"`
	// Software is the version that the peer says it runs.
	Software string `json:"software,omitempty"`
	// Features are what both ends agreed on.
	Features []string `json:"features,omitempty"`
	// DialErrors counts dials that failed, by reason.
	DialErrors map[string]int64 `json:"dialErrors,omitempty"`
	LastError  string           `json:"lastError,omitempty"`
	// Lanes are the connections, those of a class next to each other.
	Lanes []tunnel.LaneStatus `json:"lanes,omitempty"`
}

// Packets counts packets between pods of different sites.
type Packets struct {
	In      int64 `json:"in"`
	Out     int64 `json:"out"`
	Dropped int64 `json:"dropped"`
	// Lost are, at a server, packets for the node that its link did not take:
	// it was away, or its queue was full.
	Lost int64 `json:"lost,omitempty"`
	// Refused counts, at a server, what came from the node and went nowhere, by
	// reason; see tunnel/relay.
	Refused map[string]int64 `json:"refused,omitempty"`
}

// Find returns the link to peer.
func (r Report) Find(peer string) (Link, bool) {
	i := slices.IndexFunc(r.Links, func(l Link) bool { return l.Peer == peer })
	if i < 0 {
		return Link{}, false
	}
	return r.Links[i], true
}
