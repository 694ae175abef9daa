package join

import (
	"net"
	"slices"
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

// maxPlaces is of how many nodes the pods may be whose tokens come over one
// connection. A connection with more is ended rather than forgotten in part.
const maxPlaces = 256

// tracked is a connection and, once it has shown one, the device behind it, and of
// which nodes the pods are whose tokens it has shown.
type tracked struct {
	net.Conn
	conns  *conns
	key    string
	device atomic.Pointer[wire.Pin]

	mu     sync.Mutex
	token  string // the last one, which is mostly the next one too
	pod    podToken
	places []string
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

// notePod returns what a token says about its pod, and remembers that it came over
// a connection.
func (c *conns) notePod(address, token string) (podToken, bool) {
	found, ok := c.open.Load(address)
	if !ok {
		return parsePodToken(token)
	}
	return found.(*tracked).notePod(token)
}

func (t *tracked) notePod(token string) (podToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token && token != "" {
		return t.pod, true
	}
	pod, ok := parsePodToken(token)
	if !ok {
		return pod, false
	}
	t.token, t.pod = token, pod
	if !slices.Contains(t.places, pod.node) {
		t.places = append(t.places, pod.node)
	}
	if len(t.places) > maxPlaces {
		_ = t.Close()
	}
	return pod, true
}

// end closes all connections of a device and returns how many there were.
func (c *conns) end(device wire.Pin) int {
	return c.endWhere(func(t *tracked) bool {
		at := t.device.Load()
		return at != nil && *at == device
	})
}

// endPods closes all connections over which a token of a pod on a node came.
func (c *conns) endPods(node string) int {
	return c.endWhere(func(t *tracked) bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return slices.Contains(t.places, node)
	})
}

func (c *conns) endWhere(ends func(*tracked) bool) (ended int) {
	c.open.Range(func(_, found any) bool {
		if t := found.(*tracked); ends(t) {
			_ = t.Close()
			ended++
		}
		return true
	})
	return ended
}
