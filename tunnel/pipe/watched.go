package pipe

import (
	"net"
	"sync"
	"sync/atomic"
)

// alertSize is more than a client sends that turns away after it saw the
// server's certificate: an alert, and one byte that TLS 1.3 sends for the sake
// of old middleboxes, each in a record of its own.
const alertSize = 64

// watched sees whether the client inside turned away from who answered: it said
// hello, got an answer and said no more than goodbye. That is how the dialer
// learns that somebody else has begun to answer at an address.
type watched struct {
	net.Conn
	doubt func()

	read, wrote atomic.Int64
	hello       atomic.Int64 // bytes of the first write
	once        sync.Once
}

// NetConn returns the connection below, as tls.Conn has it.
func (w *watched) NetConn() net.Conn { return w.Conn }

// Read implements net.Conn.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.read.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.hello.CompareAndSwap(0, int64(n))
	w.wrote.Add(int64(n))
	return n, err
}

// CloseWrite ends the direction towards the server, where the connection can.
func (w *watched) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return w.Close()
}

// Close implements net.Conn.
func (w *watched) Close() error {
	w.once.Do(func() {
		if hello := w.hello.Load(); hello > 0 && w.read.Load() > 0 && w.wrote.Load()-hello < alertSize {
			w.doubt()
		}
	})
	return w.Conn.Close()
}
