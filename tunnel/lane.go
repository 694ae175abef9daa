package tunnel

// Lane is the class of one connection between a node and a server.
type Lane string

// The classes. Their names are labels of metrics and stable on the wire.
const (
	// LaneControl carries the hello, the proof, control messages and, for a
	// peer without other lanes, everything.
	LaneControl Lane = "control"
	// LaneInteractive carries every stream at its beginning, and those that
	// send little for good: exec, logs, requests.
	LaneInteractive Lane = "interactive"
	// LaneBulk carries streams that send a lot: copies, downloads.
	LaneBulk Lane = "bulk"
	// LaneRelay carries packets between pods of different sites.
	LaneRelay Lane = "relay"
)
