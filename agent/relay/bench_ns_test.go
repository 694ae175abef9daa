//go:build namespace

package relay

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/kedge-io/kedge/tests/nethost"
	"github.com/kedge-io/kedge/tunnel/relay"
)

// BenchmarkPods measures pods of two nodes: TCP in one stream, 100 bytes there
// and back, and small datagrams. The ways:
//
//   - direct: the two nodes have a wire;
//   - switch: the relay in one process, without links;
//   - server: the first node is the server's own, the other one behind a link;
//   - sites: both nodes behind links, so that everything passes TLS twice.
//
// "raw" is TLS over loopback, of which sites needs two.
func BenchmarkPods(b *testing.B) {
	for _, way := range []struct {
		name string
		make func(b *testing.B) (from, to *node)
	}{{"direct", directly}, {"switch", bySwitch}, {"server", fromServer}, {"sites", bySites}} {
		from, to := way.make(b)
		to.pod.listen(":5001", func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); _, _ = c.Write([]byte{1}) })
		to.pod.listen(":5002", func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
		b.Run("throughput/"+way.name, func(b *testing.B) {
			throughput(b, from.pod.mustDial("tcp", to.addr()+":5001"))
		})
		b.Run("roundtrip/"+way.name, func(b *testing.B) { roundtrip(b, from.pod.mustDial("tcp", to.addr()+":5002")) })
		b.Run("datagrams/"+way.name, func(b *testing.B) { datagrams(b, from, to) })
	}
	b.Run("throughput/raw", func(b *testing.B) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", selfSigned(b))
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, c)
			_, _ = c.Write([]byte{1})
			_ = c.Close()
		}()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		throughput(b, c)
	})
}

func throughput(b *testing.B, conn net.Conn) {
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	if _, err := conn.Read(chunk); err != nil {
		b.Fatal(err)
	}
}

func roundtrip(b *testing.B, conn net.Conn) {
	buf := make([]byte, 100)
	for b.Loop() {
		if _, err := conn.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// datagrams counts those of 64 bytes that arrive while one pod sends as fast as
// it can.
func datagrams(b *testing.B, from, to *node) {
	var in net.PacketConn
	to.pod.Do(func() {
		var err error
		if in, err = net.ListenPacket("udp", ":0"); err != nil {
			b.Error(err)
		}
	})
	defer in.Close()
	out := from.pod.mustDial("udp", net.JoinHostPort(to.addr(), portOf(in.LocalAddr())))
	stop := make(chan struct{})
	go func() {
		buf := make([]byte, 64)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = out.Write(buf)
			}
		}
	}()
	defer close(stop)
	buf := make([]byte, 128)
	for b.Loop() {
		if _, _, err := in.ReadFrom(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

func directly(b *testing.B) (from, to *node) {
	from, to = newNode(b, 1), newNode(b, 2)
	nethost.Cable(from.host.Host, "uplink", to.host.Host, "uplink")
	from.Run("ip addr add 192.0.2.1/24 dev uplink; ip route add 10.42.2.0/24 via 192.0.2.2")
	to.Run("ip addr add 192.0.2.2/24 dev uplink; ip route add 10.42.1.0/24 via 192.0.2.1")
	return from, to
}

func bySwitch(b *testing.B) (from, to *node) {
	_, nodes := site(b, 2)
	return nodes[0], nodes[1]
}

func fromServer(b *testing.B) (from, to *node) {
	h := newHub(b)
	from, to = newNode(b, 1), newNode(b, 2)
	setRoutes(h.Switch, from, to)
	from.start(relay.NewLocal(h.Switch, from.name))
	to.start(h.connect(b, to.name, nil, nil, "127.0.0.1:0"))
	return from, to
}

func bySites(b *testing.B) (from, to *node) {
	h := newHub(b)
	from, to = newNode(b, 1), newNode(b, 2)
	setRoutes(h.Switch, from, to)
	for _, n := range []*node{from, to} {
		n.start(h.connect(b, n.name, nil, nil, "127.0.0.1:0"))
	}
	return from, to
}
