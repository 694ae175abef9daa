package join

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/kedge-io/kedge/internal/wire"
)

// conns are the open connections of the listener, by the address of the other
// end. They are known because a watch or an upgraded connection that runs asks
// nobody again whether it may.
type conns struct{ open sync.Map } // string -> *tracked

// Track returns inner such that connections of a machine that is barred can be
// ended.
func (s *Server) Track(inner net.Listener) net.Listener {
	return &tracking{Listener: inner, conns: &s.conns}
}

type tracking struct {
	net.Listener
	conns *conns
}

// Accept implements net.Listener.
func (l *tracking) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: conn, conns: l.conns, key: conn.RemoteAddr().String()}
	l.conns.open.Store(t.key, t)
	return t, nil
}

// tracked is a connection and, once it has shown one, the device behind it.
type tracked struct {
	net.Conn
	conns  *conns
	key    string
	device atomic.Pointer[wire.Pin]
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.conns.open.CompareAndDelete(t.key, t)
	return t.Conn.Close()
}

// NetConn returns the connection below, as tls.Conn has it.
func (t *tracked) NetConn() net.Conn { return t.Conn }

// note remembers which device is at the other end of a connection.
func (c *conns) note(address string, device wire.Pin) {
	found, ok := c.open.Load(address)
	if !ok {
		return
	}
	if t := found.(*tracked); t.device.Load() == nil {
		t.device.Store(&device)
	}
}

// end closes all connections of a device and returns how many there were.
func (c *conns) end(device wire.Pin) int {
	ended := 0
	c.open.Range(func(_, found any) bool {
		t := found.(*tracked)
		if at := t.device.Load(); at != nil && *at == device {
			_ = t.Close()
			ended++
		}
		return true
	})
	return ended
}
