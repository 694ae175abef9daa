package tunnel_test

import (
	"io"
	"net"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// BenchmarkCopy measures one stream from node to server, against the same copy
// over plain TCP.
func BenchmarkCopy(b *testing.B) {
	chunk := make([]byte, 1<<20)
	send := func(c net.Conn, n int) {
		for range n {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
	run := func(b *testing.B, dial func(addr string, rules access.Rules) net.Conn) {
		addr, rules := listen(b, func(c *net.TCPConn) { send(c, b.N) })
		conn := dial(addr, rules)
		defer conn.Close()
		b.SetBytes(int64(len(chunk)))
		b.ResetTimer()
		if n, err := io.Copy(io.Discard, conn); err != nil || n != int64(b.N)<<20 {
			b.Fatalf("%d bytes: %v", n, err)
		}
	}
	b.Run("tunnel", func(b *testing.B) {
		run(b, func(addr string, rules access.Rules) net.Conn { return benchDial(b, addr, rules) })
	})
	b.Run("tcp", func(b *testing.B) {
		run(b, func(addr string, _ access.Rules) net.Conn {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			return c
		})
	})
}

// BenchmarkRoundTrip measures 100 bytes there and back on an open stream.
func BenchmarkRoundTrip(b *testing.B) {
	addr, rules := listen(b, echo)
	conn := benchDial(b, addr, rules)
	defer conn.Close()
	buf := make([]byte, 100)
	b.ResetTimer()
	for b.Loop() {
		if _, err := conn.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDial(b *testing.B, addr string, rules access.Rules) net.Conn {
	a := newAuthority(b)
	srv := startServer(b, a, "127.0.0.1:0", func(c *hub.Config) { c.Session, c.Lanes = transport.Config{}, mux.Config{} })
	cfg := nodeConfig(b, a, nodeNames("edge-1"), srv.addr, rules)
	cfg.Session, cfg.Lanes = transport.Config{}, mux.Config{}
	waitLane(b, srv, startNode(b, cfg), tunnel.LaneInteractive)
	conn, err := srv.hub.DialNode(b.Context(), "edge-1", "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}
