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

// Max is how many lanes of the class a session has at most. Two for bulk keep
// one that a loss has stopped from stopping every copy.
func (l Lane) Max() int {
	switch l {
	case LaneControl, LaneInteractive, LaneRelay:
		return 1
	case LaneBulk:
		return 2
	}
	return 0
}
