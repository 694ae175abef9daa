package transport

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// liveness pings the other end and answers its pings, both from one goroutine
// of its own: the reader of the websocket must never wait for a writer.
type liveness struct {
	ws    *websocket.Conn
	pongs chan string
	sent  atomic.Int64  // unix nanoseconds of the latest ping
	seq   atomic.Uint64 // its number
	rtt   atomic.Int64  // nanoseconds; 0 while unknown
}

func newLiveness(ws *websocket.Conn) *liveness {
	l := &liveness{ws: ws, pongs: make(chan string, 1)}
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
			l.rtt.Store(time.Now().UnixNano() - l.sent.Load())
		}
		return nil
	})
	return l
}

// run pings every interval until done is closed, or a control frame could not
// be written for limit.
func (l *liveness) run(done <-chan struct{}, interval, limit time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	if err := l.ping(limit); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-done:
			return nil
		case <-ticker.C:
			err = l.ping(limit)
		case payload := <-l.pongs:
			err = l.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(limit))
		}
		if err != nil {
			return err
		}
	}
}

func (l *liveness) ping(limit time.Duration) error {
	now := time.Now()
	l.sent.Store(now.UnixNano())
	payload := binary.BigEndian.AppendUint64(nil, l.seq.Add(1))
	return l.ws.WriteControl(websocket.PingMessage, payload, now.Add(limit))
}
