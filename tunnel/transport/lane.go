package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/sock"
)

// Words of a hello. What both ends say they have is used.
const (
	// CapabilityLanes: lanes beside the control session.
	CapabilityLanes = "lanes"
	// CapabilityRelay: packets of pods on a relay lane.
	CapabilityRelay = "relay"
	// CapabilityFirewall: the node enforces the edge firewall.
	CapabilityFirewall = "firewall"
)

// Has says that the other end has a capability.
func (h Hello) Has(capability string) bool { return slices.Contains(h.Capabilities, capability) }

// endless is the length of the one websocket message that a lane is in each
// direction: the most that RFC 6455, section 5.2, can say, 9.2 exabytes. So a
// lane is a websocket connection whose bytes cost nothing: no header per frame
// and no copy to put one in front.
const endless = math.MaxInt64

// messageHeader starts the message of a lane: final, binary, 64 bits of
// length. A client's has a mask, of zeroes, which changes no byte: masks keep a
// script in a browser from choosing what a proxy sees, and here TLS does.
func messageHeader(masked bool) []byte {
	h := binary.BigEndian.AppendUint64([]byte{0x82, 127}, endless)
	if masked {
		h[1] |= 0x80
		h = append(h, 0, 0, 0, 0)
	}
	return h
}

// laneConn is the byte stream of a lane.
type laneConn struct {
	net.Conn
	// first opens the message of the other end, before the first byte is read.
	first sync.Once
	open  func() (io.Reader, error)
	in    io.Reader
	err   error
}

// Read implements net.Conn.
func (c *laneConn) Read(b []byte) (int, error) {
	c.first.Do(func() { c.in, c.err = c.open() })
	if c.err != nil {
		return 0, c.err
	}
	return c.in.Read(b)
}

// NetConn returns the connection below, as tls.Conn has it.
func (c *laneConn) NetConn() net.Conn { return c.Conn }

// Close ends the TCP connection at once. TLS would try to say goodbye first,
// for up to 5 s where the link takes nothing.
func (c *laneConn) Close() error { return sock.Bottom(c.Conn).Close() }

// serverLane is the server's end of a lane on a connection that was upgraded.
func serverLane(conn net.Conn) *laneConn {
	return &laneConn{Conn: conn, open: func() (io.Reader, error) { return conn, readMessageHeader(conn) }}
}

func readMessageHeader(r io.Reader) error {
	want := messageHeader(true)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%w: a lane begins with % x", errProtocol, got)
	}
	return nil
}

// clientLane is the node's end. The library may have read more than the answer
// to the handshake, so reading goes through it.
func clientLane(ws *websocket.Conn) *laneConn {
	return &laneConn{Conn: ws.NetConn(), open: func() (io.Reader, error) {
		kind, r, err := ws.NextReader()
		if err == nil && kind != websocket.BinaryMessage {
			err = fmt.Errorf("%w: a lane begins with a message of type %d", errProtocol, kind)
		}
		return r, err
	}}
}

// DialLane opens a lane of the session that grant is of. The connection is a
// byte stream. The error is a *tunnel.RefusedError when the server said no.
func DialLane(ctx context.Context, cfg DialConfig, grant *Grant, class tunnel.Lane, index int) (net.Conn, error) {
	cfg.Config = cfg.withDefaults()
	header := http.Header{}
	grant.sign(class, index).write(header)
	ws, _, err := cfg.handshake(ctx, header, func(c net.Conn) net.Conn {
		sock.Tune(c, class, cfg.Silence)
		return c
	})
	if err != nil {
		return nil, err
	}
	return begin(clientLane(ws), true)
}

// AcceptLane takes a lane whose request was checked. On an error the client
// has got its answer. The HTTP server's goroutine should end soon after.
func AcceptLane(w http.ResponseWriter, r *http.Request, class tunnel.Lane, cfg Config) (net.Conn, error) {
	cfg = cfg.withDefaults()
	if err := agree(r.Header); err != nil {
		refuseWith(w, err)
		return nil, err
	}
	up := upgrader()
	up.ReadBufferSize, up.WriteBufferSize, up.WriteBufferPool = 1, 1, nil
	ws, err := up.Upgrade(w, r, http.Header{headerVersion: {strconv.Itoa(Version)}})
	if err != nil {
		return nil, fmt.Errorf("upgrade the connection of a lane: %w", err)
	}
	sock.Tune(ws.NetConn(), class, cfg.Silence)
	return begin(serverLane(ws.NetConn()), false)
}

func begin(c *laneConn, masked bool) (net.Conn, error) {
	err := c.SetWriteDeadline(time.Now().Add(handshakeTimeout))
	if err == nil {
		_, err = c.Write(messageHeader(masked))
	}
	if err = errors.Join(err, c.SetWriteDeadline(time.Time{})); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("begin a lane: %w", err)
	}
	return c, nil
}
