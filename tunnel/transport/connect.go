package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/sock"
)

// handshakeTimeout bounds TLS and the upgrade together. A server that a thousand
// nodes come back to at once takes its time.
const handshakeTimeout = 20 * time.Second

// bufferSize is that of each websocket's read and write buffer, in bytes. The
// write buffer holds a whole frame so that a client masks and writes it once.
const (
	readBuffer  = 1 << 10 // longer reads go past it
	writeBuffer = maxMessage
)

var writeBuffers = &sync.Pool{}

// DialConfig is what the node's end needs to connect.
type DialConfig struct {
	Config
	// URL is the server's address for tunnels: wss://host:port/path.
	URL string
	// TLS verifies the server and gives the node's certificate.
	TLS *tls.Config
	// Proxy picks a proxy as in http.Transport; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// NetDial makes TCP connections; nil means a net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Hello is what the node says of itself; Version is ignored.
	Hello Hello
}

// Dial connects to a server. The error is a *tunnel.RefusedError when the
// server answered and said no.
func Dial(ctx context.Context, cfg DialConfig) (*Session, error) {
	cfg.Config = cfg.withDefaults()
	var conn *meter
	header := http.Header{}
	cfg.Hello.write(header)
	ws, resp, err := cfg.handshake(ctx, header, func(c net.Conn) net.Conn {
		sock.Tune(c, tunnel.LaneControl, cfg.Silence)
		conn = &meter{Conn: c}
		return conn
	})
	if err != nil {
		return nil, err
	}
	return start("server", readHello(resp.Header, Version), ws, conn, cfg.Config), nil
}

// handshake makes a websocket on a TCP connection that wrap was given first.
func (cfg *DialConfig) handshake(ctx context.Context, header http.Header, wrap func(net.Conn) net.Conn) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := cfg.netDial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return wrap(c), nil
		},
		Proxy: cfg.Proxy, TLSClientConfig: cfg.tls(), HandshakeTimeout: handshakeTimeout,
		ReadBufferSize: readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: writeBuffers,
	}
	header.Set(headerVersions, strconv.Itoa(Version))
	ws, resp, err := dialer.DialContext(ctx, cfg.URL, header)
	if err != nil {
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			return nil, nil, refusedHandshake(cfg.URL, resp)
		}
		return nil, nil, fmt.Errorf("connect to %s: %w", cfg.URL, err)
	}
	if got := resp.Header.Get(headerVersion); got != strconv.Itoa(Version) {
		_ = ws.Close()
		return nil, nil, &tunnel.RefusedError{
			What: "tunnel to " + cfg.URL, Kind: tunnel.RefusedVersion,
			Reason: fmt.Sprintf("the server chose tunnel version %.20q, this node speaks %d", got, Version),
		}
	}
	return ws, resp, nil
}

func (cfg *DialConfig) netDial(ctx context.Context, network, addr string) (net.Conn, error) {
	if cfg.NetDial != nil {
		return cfg.NetDial(ctx, network, addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func (cfg *DialConfig) tls() *tls.Config {
	if cfg.TLS == nil {
		return nil
	}
	c := cfg.TLS.Clone()
	// Websockets upgrade HTTP/1.1; a server that also has HTTP/2 must not
	// choose it.
	c.NextProtos = []string{"http/1.1"}
	return c
}

// Accept makes a session of a request whose client has been identified. On an
// error the client has got its answer.
func Accept(w http.ResponseWriter, r *http.Request, node tunnel.NodeName, hello Hello, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	if err := agree(r.Header); err != nil {
		refuseWith(w, err)
		return nil, err
	}
	header := http.Header{headerVersion: {strconv.Itoa(Version)}}
	hello.write(header)
	up := upgrader()
	tap := &hijackTap{ResponseWriter: w}
	ws, err := up.Upgrade(tap, r, header)
	if err != nil {
		return nil, fmt.Errorf("upgrade the connection of node %q: %w", node, err)
	}
	sock.Tune(tap.conn.Conn, tunnel.LaneControl, cfg.Silence)
	cfg.listens = true
	return start(string(node), readHello(r.Header, Version), ws, tap.conn, cfg), nil
}

func upgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBuffer, WriteBufferSize: writeBuffer, WriteBufferPool: writeBuffers,
		// Browsers have no node certificate, and a node sends no origin.
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, reason error) {
			Refuse(w, tunnel.RefusedProtocol, reason.Error())
		},
	}
}

// hijackTap puts a meter below the websocket of a server.
type hijackTap struct {
	http.ResponseWriter
	conn *meter
}

// Hijack implements http.Hijacker.
func (h *hijackTap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &meter{Conn: c}
	return h.conn, rw, nil
}
