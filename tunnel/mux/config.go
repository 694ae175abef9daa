package mux

import (
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Defaults of [Config].
const (
	DefaultMaxStreams  = 1024
	DefaultMaxBuffered = 64 << 20
	DefaultDialTimeout = 15 * time.Second
	DefaultPing        = 2 * time.Second
	DefaultSilence     = 5 * time.Second
	DefaultMaxSilence  = 20 * time.Second
	// DefaultWindow is what fits thin links: a larger one only fills queues
	// that a small request then waits behind.
	DefaultWindow = 256 << 10
)

// Config is what one end of a session has. The ends need not have the same.
type Config struct {
	// Dial answers the other end's opens, each in a goroutine of its own; nil
	// refuses them all. Its context ends when the stream does.
	Dial tunnel.DialFunc
	// Packet takes a packet of the other end. p is valid during the call, which
	// comes from the lane's reader and must not block; nil drops.
	Packet func(p []byte)
	// MaxStreams bounds the streams that are open or whose user has not closed
	// them; 0 means DefaultMaxStreams.
	MaxStreams int
	// Window is how many unread bytes one stream may hold at this end; 0 means
	// DefaultWindow.
	Window int
	// MaxBuffered bounds the unread bytes of all streams at this end, those
	// that the other end may still send included; 0 means DefaultMaxBuffered.
	MaxBuffered int
	// DialTimeout bounds one dial in both directions; 0 means DefaultDialTimeout.
	DialTimeout time.Duration
	// Ping is the interval of heartbeats on each lane; 0 means DefaultPing.
	Ping time.Duration
	// Silence is how long a lane on a good link may bring no byte at all before
	// it is given up; 0 means DefaultSilence.
	Silence time.Duration
	// MaxSilence is the same on the slowest link; 0 means DefaultMaxSilence.
	MaxSilence time.Duration
	// WantLane is told that one more lane of a class would help, at most once a
	// second per class and without locks; nil where nobody can make one.
	WantLane func(tunnel.Lane)
	// LaneDown is told of each lane that ended and why, without locks. Its
	// streams have got an error by then; the session lives on.
	LaneDown func(l *Lane, err error)
}
