package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kedge-io/kedge/tunnel"
)

// lanePair returns both ends of a lane over TLS on loopback.
func lanePair(t testing.TB) (node, server net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	cfg := laneServer(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := AcceptLane(w, r, tunnel.LaneBulk, Config{})
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	})
	node, err := DialLane(t.Context(), cfg, NewGrant(), tunnel.LaneBulk, 0)
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() { _, _ = node.Close(), server.Close() })
	return node, server
}

func laneServer(t testing.TB, h http.HandlerFunc) DialConfig {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return DialConfig{
		URL: strings.Replace(srv.URL, "https", "wss", 1),
		TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"},
	}
}

func TestLaneIsAByteStreamInBothDirections(t *testing.T) {
	node, server := lanePair(t)
	want := make([]byte, 300<<10)
	_, _ = rand.Read(want)
	for _, pair := range [][2]net.Conn{{node, server}, {server, node}} {
		go func() { _, _ = pair[0].Write(want) }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("what came is not what was sent: %v", err)
		}
	}
	_ = node.Close()
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("the server's end does not notice the close")
	}
}

// A websocket library that knows nothing of lanes reads one as a message.
func TestLaneIsAWebsocketMessage(t *testing.T) {
	got := make(chan string, 1)
	cfg := laneServer(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader().Upgrade(w, r, http.Header{headerVersion: {"1"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		_, message, err := ws.NextReader()
		if err != nil {
			t.Error(err)
			return
		}
		b := make([]byte, 5)
		_, _ = io.ReadFull(message, b)
		got <- string(b)
	})
	lane, err := DialLane(t.Context(), cfg, NewGrant(), tunnel.LaneInteractive, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lane.Close()
	if _, err := io.WriteString(lane, "hello"); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "hello" {
		t.Errorf("the library read %q", text)
	}
}

func TestLaneThatBeginsWithSomethingElseIsRefused(t *testing.T) {
	for name, first := range map[string][]byte{
		"a text message": append([]byte{0x81}, messageHeader(true)[1:]...),
		"a mask":         append(messageHeader(true)[:10], 1, 2, 3, 4),
		"an HTTP/2 peer": []byte("PRI * HTTP/2.0"),
	} {
		a, b := net.Pipe()
		go func() { _, _ = b.Write(first) }()
		lane := serverLane(a)
		if _, err := lane.Read(make([]byte, 1)); !errors.Is(err, errProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		_, _ = lane.Close(), b.Close()
	}
}

// BenchmarkLane measures the bytes of a lane against TLS alone and against
// messages of 32 KiB with masks as the websocket library makes them.
func BenchmarkLane(b *testing.B) {
	kinds := map[string]func(b *testing.B) (node, server net.Conn){
		"tls":      tlsPair,
		"lane":     func(b *testing.B) (net.Conn, net.Conn) { return lanePair(b) },
		"messages": messagePair,
	}
	for _, kind := range []string{"tls", "lane", "messages"} {
		b.Run(kind+"/up", func(b *testing.B) {
			node, server := kinds[kind](b)
			copyBench(b, node, server)
		})
		b.Run(kind+"/down", func(b *testing.B) {
			node, server := kinds[kind](b)
			copyBench(b, server, node)
		})
	}
}

func copyBench(b *testing.B, from, to net.Conn) {
	const chunk = 32 << 10
	b.SetBytes(chunk)
	go func() {
		p := make([]byte, chunk)
		for range b.N {
			if _, err := from.Write(p); err != nil {
				return
			}
		}
	}()
	p := make([]byte, 64<<10)
	for left := b.N * chunk; left > 0; {
		n, err := to.Read(p)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
}

func tlsPair(b *testing.B) (node, server net.Conn) {
	accepted := make(chan net.Conn, 1)
	cfg := laneServer(b, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			b.Error(err)
		}
		accepted <- c
	})
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	addr := strings.TrimPrefix(cfg.URL, "wss://")
	node, err := (&tls.Dialer{Config: cfg.TLS}).DialContext(ctx, "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(node, "GET / HTTP/1.1\r\nHost: kedge\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	server = <-accepted
	b.Cleanup(func() { _, _ = node.Close(), server.Close() })
	return node, server
}

func messagePair(b *testing.B) (node, server net.Conn) {
	accepted := make(chan *websocket.Conn, 1)
	cfg := laneServer(b, func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader().Upgrade(w, r, http.Header{headerVersion: {"1"}})
		if err != nil {
			b.Error(err)
		}
		accepted <- ws
	})
	ws, _, err := cfg.handshake(b.Context(), http.Header{}, func(c net.Conn) net.Conn { return c })
	if err != nil {
		b.Fatal(err)
	}
	other := <-accepted
	b.Cleanup(func() { _, _ = ws.Close(), other.Close() })
	return &messages{Conn: ws.NetConn(), ws: ws}, &messages{Conn: other.NetConn(), ws: other}
}

// messages is a byte stream made of websocket messages.
type messages struct {
	net.Conn
	ws *websocket.Conn
	in io.Reader
}

func (m *messages) Write(p []byte) (int, error) {
	return len(p), m.ws.WriteMessage(websocket.BinaryMessage, p)
}

func (m *messages) Read(p []byte) (int, error) {
	for {
		if m.in == nil {
			var err error
			if _, m.in, err = m.ws.NextReader(); err != nil {
				return 0, err
			}
		}
		n, err := m.in.Read(p)
		if err == nil || n > 0 {
			return n, nil
		}
		m.in = nil
	}
}
