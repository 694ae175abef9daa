//go:build namespace

package relay

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tests/nethost"
	"github.com/kedge-io/kedge/tunnel/relay"
)

// linked is an edge node behind a link through its uplink, and the server's own
// node.
func linked(t testing.TB) (h *hub, edge, server *node, link *spoke) {
	h = newHub(t)
	edge, server = newNode(t, 1), newNode(t, 2)
	nethost.Cable(edge.host.Host, "uplink", server.host.Host, "uplink")
	edge.Run("ip addr add 192.0.2.1/24 dev uplink")
	server.Run("ip addr add 192.0.2.2/24 dev uplink")
	setRoutes(h.Switch, edge, server)
	server.start(relay.NewLocal(h.Switch, server.name))
	link = h.connect(t, edge.name, edge.host, server.host, "192.0.2.2:6443")
	edge.start(link)
	return h, edge, server, link
}

func TestPodsReachEachOtherOverALink(t *testing.T) {
	_, edge, server, _ := linked(t)
	for _, n := range []*node{edge, server} {
		n.pod.listen(":5001", sink)
		n.pod.EchoUDP(":5002")
	}
	for _, way := range [][2]*node{{edge, server}, {server, edge}} {
		from, to := way[0], way[1]
		if out := from.pod.Run("ping -c 3 -i 0.01 -W 5 -s 1372 " + to.addr()); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s", out)
		}
		for _, size := range []int64{1, 32 << 20} {
			if err := from.pod.pour(to.addr()+":5001", from.addr(), size); err != nil {
				t.Errorf("%s, %d bytes: %v", from.name, size, err)
			}
		}
		for _, size := range []int{1, 9000} {
			if err := from.pod.askUDP(to.addr()+":5002", size); err != nil {
				t.Errorf("%s, datagram of %d bytes: %v", from.name, size, err)
			}
		}
	}
}

func TestStalledLinkDropsAndHoldsLittle(t *testing.T) {
	_, edge, server, link := linked(t)
	edge.pod.Run("ping -c 1 -W 5 " + server.addr())
	edge.Run("nft 'table ip stall { chain out { type filter hook output priority 0; oifname uplink drop; }; }'")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	// 40 MB, of which a queue of packets may hold two.
	c := edge.pod.mustDial("udp", server.addr()+":9")
	buf := make([]byte, 40_000)
	for range 1000 {
		_, _ = c.Write(buf)
	}
	eventually(t, "dropped packets", func() bool { return link.session.Stats().PacketsDropped > 100 })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 8<<20 {
		t.Errorf("%d bytes are held", held)
	}
	if lost := edge.relay.Stats().Lost; lost == 0 {
		t.Error("no loss was counted")
	}
	edge.Run("nft delete table ip stall")
	eventually(t, "an answer after the stall", func() bool {
		_, err := edge.pod.Try(fmt.Sprintf("ping -c 1 -W 1 %s", server.addr()))
		return err == nil
	})
}
