package transport

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

func (m *meter) arm(silence time.Duration) { m.silence.Store(int64(silence)) }

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
func (m *meter) cut() { _ = bottom(m.Conn).Close() }

func bottom(c net.Conn) net.Conn {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok || inner.NetConn() == nil {
			return c
		}
		c = inner.NetConn()
	}
}

// tune makes the kernel give up on a peer that does not acknowledge: silence
// bounds the wait for data that was sent (TCP_USER_TIMEOUT, tcp(7)), keepalive
// covers a link with nothing under way. Connections that are not TCP (tests,
// proxies in the process) are left as they are.
func tune(c net.Conn, silence time.Duration) {
	c = bottom(c)
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
			Enable: true, Idle: silence / 2, Interval: max(silence/6, time.Second), Count: 3,
		})
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	})
}
