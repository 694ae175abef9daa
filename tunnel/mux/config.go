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
	// DefaultWindow is what fits thin links; see maxWindow for fast and long
	// ones.
	DefaultWindow = 256 << 10
)

// maxWindow is how many windows a stream on a bulk lane may have unread at
// most, as a multiple of Config.Window. Its window grows while its reader keeps
// up and a window does not cover the round trip: 4 MiB are 320 Mbit/s at 100 ms.
const maxWindow = 16

// Config is what one end of a session has. The ends need not have the same.
type Config struct {
	// Dial answers the other end's opens, each in a goroutine of its own; nil
	// refuses them all. Its context ends when the stream does, and the session's
	// end waits for its return. The text of its error is sent to the other end.
	Dial tunnel.DialFunc
	// Packet takes a packet of the other end. p is valid during the call, which
	// comes from the lane's reader and must not block; nil drops.
	Packet func(p []byte)
	// MaxStreams bounds the streams of both ends that are open or that their
	// user here has not closed; 0 means DefaultMaxStreams.
	MaxStreams int
	// Window is how many unread bytes one stream may hold at this end, on bulk
	// lanes up to 16 times as many; 0 means DefaultWindow.
	Window int
	// MaxBuffered bounds the unread bytes of all streams at this end, those
	// that the other end may still send included; 0 means DefaultMaxBuffered.
	// Streams get less than a window each when it is nearly reached.
	MaxBuffered int
	// DialTimeout bounds one dial in both directions; 0 means DefaultDialTimeout.
	DialTimeout time.Duration
	// Ping is the interval of heartbeats on each lane; 0 means DefaultPing. The
	// initiator sends them, and both ends measure by them.
	Ping time.Duration
	// Silence is how long a lane on a good link may bring no byte at all before
	// it is given up; 0 means DefaultSilence. It must be well above Ping.
	Silence time.Duration
	// MaxSilence is the same on the slowest link; 0 means DefaultMaxSilence.
	MaxSilence time.Duration
	// WantLane is told that one more lane of a class would help, at most once a
	// second per class and without locks, by a goroutine that has something to
	// send: it must not wait for the lane. nil where nobody can make one.
	WantLane func(tunnel.Lane)
	// LaneDown is told of each lane that ended and why, without locks. Its
	// streams have got an error by then; the session lives on. It must not wait
	// for the end of the session, which waits for it.
	LaneDown func(l *Lane, err error)
}

func (c Config) withDefaults() Config {
	c.MaxStreams = orDefault(c.MaxStreams, DefaultMaxStreams)
	c.Window = orDefault(c.Window, DefaultWindow)
	c.MaxBuffered = orDefault(c.MaxBuffered, DefaultMaxBuffered)
	c.DialTimeout = orDefault(c.DialTimeout, DefaultDialTimeout)
	c.Ping = orDefault(c.Ping, DefaultPing)
	c.Silence = orDefault(c.Silence, DefaultSilence)
	c.MaxSilence = max(c.Silence, orDefault(c.MaxSilence, DefaultMaxSilence))
	// Every stream can hold a byte at least, or it would never go on.
	c.MaxBuffered = max(c.MaxBuffered, 4*c.MaxStreams)
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
