//go:build namespace

package relay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/nethost"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/relay"
	"github.com/kedge-io/kedge/tunnel/relay/packet"
	"github.com/kedge-io/kedge/tunnel/sock"
)

// thinFor is how long one thin link is loaded.
const thinFor = 12 * time.Second

// BenchmarkThinLink loads a slow link, clean and with loss, with one TCP stream
// from a pod of an edge node to one of the server's node, and pings beside it.
// Run it with -benchtime 1x. The ways:
//
//   - wire: routed without a tunnel, what the link itself can do;
//   - stream: a tuned TCP connection between the hosts, which is the most that
//     a relay of streams could give;
//   - relay: as kedge does it;
//   - blocking: the same packets over one connection by somebody who waits
//     instead of dropping.
func BenchmarkThinLink(b *testing.B) {
	for _, link := range []struct {
		name string
		rate string
		loss int // percent, each way
	}{{"1mbit", "1mbit", 0}, {"1mbit-30%", "1mbit", 30}, {"20mbit", "20mbit", 0}, {"20mbit-2%", "20mbit", 2}} {
		for _, way := range []string{"wire", "stream", "relay", "blocking"} {
			b.Run(link.name+"/"+way, func(b *testing.B) {
				for b.Loop() {
					thin(b, way, link.rate, link.loss)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func thin(b *testing.B, way, rate string, loss int) {
	edge, server := newNode(b, 1), newNode(b, 2)
	nethost.Cable(edge.host.Host, "uplink", server.host.Host, "uplink")
	for i, n := range []*node{edge, server} {
		n.Run(fmt.Sprintf(`ip addr add 192.0.2.%d/24 dev uplink; ip link set uplink gso_max_segs 1
			tc qdisc add dev uplink root tbf rate %s burst 5k latency 100ms
			nft 'table ip loss { chain in { type filter hook prerouting priority raw; iifname uplink numgen random mod 100 < %d drop; }; }'`, i+1, rate, loss))
	}
	from, to, addr := edge.pod, server.pod, server.addr()
	switch way {
	case "wire":
		edge.Run("ip route add 10.42.2.0/24 via 192.0.2.2")
		server.Run("ip route add 10.42.1.0/24 via 192.0.2.1")
	case "stream":
		from, to, addr = edge.host, server.host, "192.0.2.2"
	default:
		h := newHub(b)
		setRoutes(h.Switch, edge, server)
		server.start(relay.NewLocal(h.Switch, server.name))
		if way == "relay" {
			edge.start(h.connect(b, edge.name, edge.host, server.host, "192.0.2.2:6443"))
		} else {
			edge.start(h.block(b, edge, server, "192.0.2.2:6443"))
		}
	}
	var got atomic.Int64
	to.listen(":5001", func(c *net.TCPConn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got.Add(int64(n))
		}
	})
	stop := time.Now().Add(thinFor)
	c := from.mustDial("tcp", addr+":5001")
	if way == "stream" {
		sock.Tune(c, tunnel.LaneBulk, time.Minute)
	}
	_ = c.SetDeadline(stop)
	pings := make(chan []float64, 1)
	go func() { pings <- ping(from, addr, thinFor) }()
	buf := make([]byte, 16<<10)
	for {
		if _, err := c.Write(buf); err != nil {
			break
		}
	}
	b.ReportMetric(float64(got.Load())*8/1e6/thinFor.Seconds(), "Mbit/s")
	times := <-pings
	sent := float64(thinFor / pingEvery)
	b.ReportMetric(100*(1-float64(len(times))/sent), "ping-lost-%")
	if slices.Sort(times); len(times) > 0 {
		b.ReportMetric(times[len(times)/2], "ping-p50-ms")
		b.ReportMetric(times[len(times)*95/100], "ping-p95-ms")
	}
}

const pingEvery = 100 * time.Millisecond

// ping returns the round trips in milliseconds of those that came back.
func ping(from *host, addr string, d time.Duration) (times []float64) {
	count := strconv.Itoa(int(d / pingEvery))
	var out io.Reader
	cmd := exec.Command("ping", "-c", count, "-i", "0.1", "-W", "3", addr)
	from.Do(func() {
		var err error
		if out, err = cmd.StdoutPipe(); err == nil {
			err = cmd.Start()
		}
		if err != nil {
			from.T.Error(err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, after, ok := strings.Cut(lines.Text(), "time="); ok {
			ms, err := strconv.ParseFloat(strings.TrimSuffix(after, " ms"), 64)
			if err == nil {
				times = append(times, ms)
			}
		}
	}
	_ = cmd.Wait()
	return times
}

// blocking is a link as a simple tunnel has it: it waits for the connection.
type blocking struct {
	conn     net.Conn
	receiver atomic.Pointer[func(p []byte)]
}

func (l *blocking) Send(p []byte) bool {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(p)))
	_, err := l.conn.Write(append(frame, p...))
	return err == nil
}

func (l *blocking) SetReceiver(f func(p []byte)) { l.receiver.Store(&f) }

func (l *blocking) run(take func(p []byte)) {
	in := bufio.NewReaderSize(l.conn, 128<<10)
	buf := make([]byte, packet.MaxLen)
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		p := buf[:binary.BigEndian.Uint32(size[:])]
		if _, err := io.ReadFull(in, p); err != nil {
			return
		}
		take(p)
	}
}

// block joins edge and the switch by such a link.
func (h *hub) block(b *testing.B, edge, server *node, addr string) *blocking {
	var l net.Listener
	server.Do(func() {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			b.Fatal(err)
		}
	})
	defer l.Close()
	near := &blocking{conn: edge.mustDial("tcp", addr)}
	_ = near.conn.SetDeadline(time.Time{})
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	far := &blocking{conn: conn}
	h.Attach(edge.name, far)
	go far.run(func(p []byte) { h.From(edge.name, p) })
	go near.run(func(p []byte) {
		if f := near.receiver.Load(); f != nil && *f != nil {
			(*f)(p)
		}
	})
	return near
}
