package transport

import (
	"encoding/binary"
	"sync"
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

// liveness pings the other end and answers its pings. It has no goroutine of
// its own while nothing is to be sent, and the reader of the websocket never
// waits for a writer.
type liveness struct {
	ws   *websocket.Conn
	conn *meter
	cfg  Config
	// every is the time between pings.
	every time.Duration
	// idle says that nobody else writes, so that a pong cannot wait.
	idle func() bool
	// fail is told what a control frame ran into.
	fail func(error)

	sent     atomic.Int64  // unix nanoseconds of the latest ping
	seq      atomic.Uint64 // its number
	rtt      atomic.Int64  // nanoseconds; 0 while unknown
	smoothed atomic.Int64  // moving mean of rtt (RFC 6298)

	wg      sync.WaitGroup
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	pong    *string // waits to be sent
	ponging bool
}

func newLiveness(ws *websocket.Conn, conn *meter, cfg Config) *liveness {
	l := &liveness{ws: ws, conn: conn, cfg: cfg, every: cfg.Ping}
	conn.arm(cfg.Silence)
	ws.SetPingHandler(func(payload string) error {
		if l.idle() {
			return l.write(websocket.PongMessage, []byte(payload))
		}
		l.pongSoon(payload)
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

// start sends the first ping and all that follow.
func (l *liveness) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(0, l.beat)
}

// stop lets no further frame be sent and waits for what is under way.
func (l *liveness) stop() {
	l.mu.Lock()
	l.stopped = true
	l.timer.Stop()
	l.mu.Unlock()
	l.wg.Wait()
}

// enter says whether frames may still be sent; the caller owes a wg.Done.
func (l *liveness) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.wg.Add(1)
	}
	return !l.stopped
}

func (l *liveness) beat() {
	if !l.enter() {
		return
	}
	defer l.wg.Done()
	if err := l.ping(); err != nil {
		l.fail(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.timer.Reset(l.every)
	}
}

// pongSoon answers beside the reader. Only the latest ping matters to the
// other end's measurement.
func (l *liveness) pongSoon(payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pong = &payload
	if !l.ponging && !l.stopped {
		l.ponging = true
		l.wg.Go(l.sendPongs)
	}
}

func (l *liveness) sendPongs() {
	for {
		l.mu.Lock()
		payload := l.pong
		l.pong = nil
		l.ponging = payload != nil
		l.mu.Unlock()
		if payload == nil {
			return
		}
		if err := l.write(websocket.PongMessage, []byte(*payload)); err != nil {
			l.fail(err)
			return
		}
	}
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

func (l *liveness) ping() error {
	l.sent.Store(time.Now().UnixNano())
	return l.write(websocket.PingMessage, binary.BigEndian.AppendUint64(nil, l.seq.Add(1)))
}

// write sends a control frame, at most within the limit of silence.
func (l *liveness) write(kind int, payload []byte) error {
	return l.ws.WriteControl(kind, payload, time.Now().Add(l.conn.limit()))
}
