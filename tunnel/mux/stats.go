package mux

import (
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Stats are figures of a session.
type Stats struct {
	// Streams is how many are open now, or not yet closed by their user.
	Streams int
	// Promised is how many bytes the other end may have us hold unread, in
	// total; at most Config.MaxBuffered.
	Promised int64
	// Bytes counts what lanes of each class carried, also those that are gone.
	Bytes map[tunnel.Lane]Traffic
	// PacketsIn and PacketsOut count what was received, and what was written to
	// a lane; PacketsDropped what SendPacket refused or what became too old.
	PacketsIn, PacketsOut, PacketsDropped int64
	// Lanes are those that are up, by class and index.
	Lanes []LaneStats
}

// Traffic is a number of bytes in each direction, with framing.
type Traffic struct{ In, Out int64 }

// LaneStats are figures of one lane.
type LaneStats struct {
	// Class and Index name the lane.
	Class tunnel.Lane
	Index int
	// RTT is the latest round trip, SmoothedRTT its moving mean (RFC 6298); 0
	// while unknown.
	RTT, SmoothedRTT time.Duration
	// Since is when the lane was attached.
	Since time.Time
	// LastHeard is when the latest byte came.
	LastHeard time.Time
	// LastUsed is when a stream or packet last used the lane.
	LastUsed time.Time
	// Streams is how many streams have a direction on the lane.
	Streams int
	// Traffic is what the lane carried.
	Traffic
}
