package transport

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Factors of the limit of silence: it follows the round trip of a slow link.
const (
	silenceRTTs = 4
	// silenceBase is how much of Config.Silence is added to that, in fifths:
	// 3 s of 5 s.
	silenceBase = 3
)

// measureEvery is how many intervals of pings pass between two pings of a
// server whose node pings by itself. A server with a thousand idle nodes would
// otherwise do little else. A node without lanes is of the first version, which
// pings less often.
const measureEvery = 5

// liveness pings the other end and answers its pings, both from one goroutine
// of its own: the reader of the websocket must never wait for a writer.
type liveness struct {
	ws    *websocket.Conn
	conn  *meter
	cfg   Config
	pongs chan string
	every time.Duration // between pings

	sent     atomic.Int64  // unix nanoseconds of the latest ping
	seq      atomic.Uint64 // its number
	rtt      atomic.Int64  // nanoseconds; 0 while unknown
	smoothed atomic.Int64  // moving mean of rtt (RFC 6298)
}

func newLiveness(ws *websocket.Conn, conn *meter, cfg Config) *liveness {
	l := &liveness{ws: ws, conn: conn, cfg: cfg, pongs: make(chan string, 1)}
	conn.arm(cfg.Silence)
	ws.SetPingHandler(func(payload string) error {
		// Only the latest ping matters to the other end's measurement.
		select {
		case <-l.pongs:
		default:
		}
		select {
		case l.pongs <- payload:
		default:
		}
		return nil
	})
	ws.SetPongHandler(func(payload string) error {
		if len(payload) == 8 && binary.BigEndian.Uint64([]byte(payload)) == l.seq.Load() {
			l.measured(time.Duration(time.Now().UnixNano() - l.sent.Load()))
		}
		return nil
	})
	return l
}

// measured takes a round trip. Only the reader calls it.
func (l *liveness) measured(rtt time.Duration) {
	l.rtt.Store(int64(rtt))
	smoothed := rtt
	if before := time.Duration(l.smoothed.Load()); before > 0 {
		smoothed = before + (rtt-before)/8
	}
	l.smoothed.Store(int64(smoothed))
	l.conn.arm(silenceLimit(l.cfg, smoothed))
}

// silenceLimit is how long the other end may be silent on a link with this
// round trip.
func silenceLimit(cfg Config, rtt time.Duration) time.Duration {
	slow := silenceRTTs*rtt + cfg.Silence*silenceBase/5
	return min(max(cfg.Silence, slow), cfg.MaxSilence)
}

// run pings every interval until done is closed, or a control frame could not
// be written within the limit of silence.
func (l *liveness) run(done <-chan struct{}) error {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	if err := l.ping(); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-done:
			return nil
		case <-ticker.C:
			err = l.ping()
		case payload := <-l.pongs:
			err = l.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(l.conn.limit()))
		}
		if err != nil {
			return err
		}
	}
}

func (l *liveness) ping() error {
	now := time.Now()
	l.sent.Store(now.UnixNano())
	payload := binary.BigEndian.AppendUint64(nil, l.seq.Add(1))
	return l.ws.WriteControl(websocket.PingMessage, payload, now.Add(l.conn.limit()))
}
