package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/sock"
)

const (
	// bytesMessage is the largest message that either side takes, in bytes;
	// both sides write far smaller ones.
	bytesMessage = 1 << 20
	// bytesWrite is the largest message that is written: what a TLS record of
	// the connection inside needs.
	bytesWrite = 16<<10 + 512
	// bytesPing keeps proxies from closing a quiet connection; 60 s is the usual
	// limit.
	bytesPing = 25 * time.Second
	// bytesSilence is for how long the TCP connection may leave data unanswered.
	bytesSilence = 20 * time.Second
	// bytesGoodbye bounds the wait for the closing message to be taken.
	bytesGoodbye = 250 * time.Millisecond
)

// BytesConfig says how to reach a websocket that carries plain bytes.
type BytesConfig struct {
	// URL is wss://host:port/path.
	URL string
	// TLS is that of the outer connection.
	TLS *tls.Config
	// NetDial makes the TCP connection, through a proxy where there is one.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// StatusError is the answer of somebody who does not want to be a websocket.
type StatusError struct {
	URL string
	// Status is as in "404 Not Found".
	Status string
	Code   int
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answers %.100q instead of a websocket", e.URL, e.Status)
}

// DialBytes opens a websocket whose binary messages are a stream of bytes, as a
// proxy that looks into HTTP lets through. An empty message is the end of a
// direction, which CloseWrite sends.
func DialBytes(ctx context.Context, cfg BytesConfig) (net.Conn, error) {
	t := cfg.TLS.Clone()
	t.NextProtos = []string{"http/1.1"}
	dialer := websocket.Dialer{
		NetDialContext: cfg.NetDial, TLSClientConfig: t, HandshakeTimeout: handshakeTimeout,
		ReadBufferSize: readBuffer, WriteBufferSize: bytesWrite, WriteBufferPool: bytesBuffers,
	}
	ws, resp, err := dialer.DialContext(ctx, cfg.URL, nil)
	if err != nil {
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			return nil, &StatusError{URL: cfg.URL, Status: resp.Status, Code: resp.StatusCode}
		}
		return nil, fmt.Errorf("open websocket %s: %w", cfg.URL, err)
	}
	return newBytes(ws, bytesPing), nil
}

// AcceptBytes is the server's end of [DialBytes]. On an error the client has
// got its answer.
func AcceptBytes(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	up := websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBuffer, WriteBufferSize: bytesWrite, WriteBufferPool: bytesBuffers,
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade to a websocket: %w", err)
	}
	return newBytes(ws, 0), nil
}

var bytesBuffers = &sync.Pool{}

// bytesConn reads through a pipe: the library's connection is of no use after a
// read deadline, and HTTP servers set one whenever a connection changes hands.
type bytesConn struct {
	ws   *websocket.Conn
	read net.Conn // our end of the pipe
	feed net.Conn // where received bytes go in

	write    sync.Mutex                // one message at a time
	deadline atomic.Pointer[time.Time] // of writes; nil for none

	closing sync.Once
	done    chan struct{}

	mu  sync.Mutex
	err error // why receiving ended; io.EOF after a proper end
}

func newBytes(ws *websocket.Conn, ping time.Duration) *bytesConn {
	ws.SetReadLimit(bytesMessage)
	sock.Tune(ws.NetConn(), tunnel.LaneBulk, bytesSilence)
	c := &bytesConn{ws: ws, done: make(chan struct{})}
	c.read, c.feed = net.Pipe()
	go c.receive()
	if ping > 0 {
		go c.keepAlive(ping)
	}
	return c
}

// receive hands on what arrives until the connection ends.
func (c *bytesConn) receive() {
	err := c.receiveAll()
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	_ = c.feed.Close()
}

func (c *bytesConn) receiveAll() error {
	buf := make([]byte, bytesWrite)
	ended := false
	for {
		kind, r, err := c.ws.NextReader()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return io.EOF
		}
		if err != nil {
			return err
		}
		if kind != websocket.BinaryMessage {
			return fmt.Errorf("%w: a message of type %d among bytes", errProtocol, kind)
		}
		n, err := io.CopyBuffer(onlyWriter{c.feed}, r, buf)
		if err != nil {
			return err
		}
		if n > 0 && ended {
			return fmt.Errorf("%w: bytes after their end", errProtocol)
		}
		if n == 0 && !ended {
			ended = true
			c.mu.Lock()
			c.err = io.EOF
			c.mu.Unlock()
			_ = c.feed.Close()
		}
	}
}

func (c *bytesConn) keepAlive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
			_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(every))
		}
	}
}

// Read implements net.Conn.
func (c *bytesConn) Read(b []byte) (int, error) {
	n, err := c.read.Read(b)
	if errors.Is(err, io.EOF) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil {
			err = c.err
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *bytesConn) Write(b []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	sent := 0
	for sent < len(b) {
		part := b[sent:min(len(b), sent+bytesWrite)]
		if err := c.message(part); err != nil {
			return sent, err
		}
		sent += len(part)
	}
	return sent, nil
}

// CloseWrite tells the other end that nothing more comes.
func (c *bytesConn) CloseWrite() error {
	c.write.Lock()
	defer c.write.Unlock()
	return c.message(nil)
}

// message needs the write lock, which the library's deadline needs as well.
func (c *bytesConn) message(b []byte) error {
	var t time.Time
	if set := c.deadline.Load(); set != nil {
		t = *set
	}
	_ = c.ws.SetWriteDeadline(t)
	return c.ws.WriteMessage(websocket.BinaryMessage, b)
}

// Close implements net.Conn.
func (c *bytesConn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		close(c.done)
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(bytesGoodbye))
		_ = c.read.Close()
		err = sock.Bottom(c.ws.NetConn()).Close()
	})
	return err
}

// Carrier is the connection that the bytes go through, see [sock.Tune].
func (c *bytesConn) Carrier() net.Conn { return c.ws.NetConn() }

// LocalAddr implements net.Conn.
func (c *bytesConn) LocalAddr() net.Addr { return c.ws.LocalAddr() }

// RemoteAddr implements net.Conn: the other end of the TCP connection, which is
// a proxy where there is one.
func (c *bytesConn) RemoteAddr() net.Addr { return c.ws.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *bytesConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn. A read that was too late may be repeated.
func (c *bytesConn) SetReadDeadline(t time.Time) error { return c.read.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. After a write that was too late the
// connection is of no more use, as with TLS.
func (c *bytesConn) SetWriteDeadline(t time.Time) error {
	c.deadline.Store(&t)
	return c.ws.NetConn().SetWriteDeadline(t) // for a write that is under way
}
