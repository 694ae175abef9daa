//go:build namespace

package relay

import (
	"io"
	"net"
	"testing"
)

// BenchmarkPods measures pods of two nodes: TCP in one stream, and 100 bytes
// there and back. "direct" is the same without relay: the two nodes have a wire.
func BenchmarkPods(b *testing.B) {
	_, nodes := site(b, 2)
	direct := []*node{newNode(b, 1), newNode(b, 2)}
	wire(direct[0].host, "uplink", direct[1].host, "uplink")
	direct[0].run("ip addr add 192.0.2.1/24 dev uplink; ip route add 10.42.2.0/24 via 192.0.2.2")
	direct[1].run("ip addr add 192.0.2.2/24 dev uplink; ip route add 10.42.1.0/24 via 192.0.2.1")
	for _, c := range []struct {
		name  string
		nodes []*node
	}{{"direct", direct}, {"relay", nodes}} {
		to := c.nodes[1]
		to.pod.listen(":5001", func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); _, _ = c.Write([]byte{1}) })
		to.pod.listen(":5002", func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
		b.Run("throughput/"+c.name, func(b *testing.B) {
			conn := c.nodes[0].pod.mustDial("tcp", to.addr()+":5001")
			chunk := make([]byte, 1<<20)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if _, err := conn.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			if _, err := conn.Read(chunk); err != nil {
				b.Fatal(err)
			}
		})
		b.Run("roundtrip/"+c.name, func(b *testing.B) {
			conn := c.nodes[0].pod.mustDial("tcp", to.addr()+":5002")
			buf := make([]byte, 100)
			for b.Loop() {
				if _, err := conn.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
