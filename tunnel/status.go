package tunnel

import "time"

// LaneStatus is the state of one lane as either end sees it.
type LaneStatus struct {
	Class Lane `json:"class"`
	// Index tells lanes of one class apart.
	Index int `json:"index"`
	// RTT is the latest measured round trip in nanoseconds; 0 while unknown.
	RTT time.Duration `json:"rtt"`
	// SmoothedRTT is its moving mean, which the limit of silence follows.
	SmoothedRTT time.Duration `json:"smoothedRTT"`
	// Since is when the lane began.
	Since time.Time `json:"since"`
	// Streams is how many streams have a direction on the lane.
	Streams int `json:"streams"`
	// BytesIn came from the other end, BytesOut went to it, with framing.
	BytesIn  int64 `json:"bytesIn"`
	BytesOut int64 `json:"bytesOut"`
	// RemoteAddr is where the connection comes from or goes to.
	RemoteAddr string `json:"remoteAddr"`
}

// Traffic is a number of bytes in each direction, as the end that tells it sees
// them, with framing.
type Traffic struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`
}
