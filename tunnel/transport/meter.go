package transport

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel/sock"
)

// meter is the connection below the websocket. It counts bytes and, once
// armed, gives each read a deadline: whatever comes in is a sign of life, so a
// long transfer on a slow line is never taken for a dead link.
type meter struct {
	net.Conn
	silence  atomic.Int64 // nanoseconds; 0 until armed
	in, out  atomic.Int64
	lastRead atomic.Int64 // unix nanoseconds
}

// arm sets how long the other end may be silent from the next read on.
func (m *meter) arm(silence time.Duration) { m.silence.Store(int64(silence)) }

func (m *meter) limit() time.Duration { return time.Duration(m.silence.Load()) }

// Read implements net.Conn.
func (m *meter) Read(b []byte) (int, error) {
	if d := m.silence.Load(); d > 0 {
		if err := m.Conn.SetReadDeadline(time.Now().Add(time.Duration(d))); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Read(b)
	if n > 0 {
		m.in.Add(int64(n))
		m.lastRead.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write implements net.Conn.
func (m *meter) Write(b []byte) (int, error) {
	n, err := m.Conn.Write(b)
	m.out.Add(int64(n))
	return n, err
}

// cut closes the TCP connection below any TLS, whose own close can wait 5 s
// for a link that is full.
func (m *meter) cut() { _ = sock.Bottom(m.Conn).Close() }
