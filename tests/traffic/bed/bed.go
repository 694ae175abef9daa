package bed

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/iperf"
)

// Ports of traffic on hosts; containers have their own, see [ControlPort].
const (
	hostControl = 8900
	hostData    = 8901
	// The far host has a second one for echoes, so that they do not wait behind others' datagrams.
	echoControl = 8902
	echoData    = 8903
	// iperfBase is the first port of the servers of iperf3 on the far host.
	iperfBase = 5201
	// Iperfs is how many of them there are: each serves one client at a time.
	Iperfs = 24
)

// Edge is a node of the cluster and its line.
type Edge struct {
	// Uplink is what follows the device's name in --uplink ("100M", "10M/50M"); empty lets
	// kedge find out.
	Uplink string
	// Line is what the line really carries in bits per second, and Queue how long a packet
	// waits in it at most; 0 is a plain cable.
	Line  uint64
	Queue time.Duration
	// Delay of the line in each direction.
	Delay time.Duration
	// Args are added to the agent's.
	Args []string
	// Bare leaves the host without kedge, and without traffic.
	Bare bool
}

// Bed is a cluster with a far end.
type Bed struct {
	*cluster.Cluster
	// Peer is the host that is no node and the far end of all traffic.
	Peer *lab.Host
	// Program is tests/traffic, built.
	Program string
}

// Device is the uplink of every edge.
const Device = "eth0"

// Up builds the laboratory and the cluster: edge1.. in sites site1..
func Up(t testing.TB, edges ...Edge) *Bed {
	t.Helper()
	testx.NeedRoot(t)
	testx.NeedPrograms(t, "iperf3", "ldd")
	dir := t.TempDir()
	parts, err := build(t.Context(), dir)
	cluster.Must(t, err)
	archive, err := os.ReadFile(parts.archive)
	cluster.Must(t, err)
	topology, bare := topology(edges)
	b := &Bed{Cluster: cluster.New(t, topology, cluster.Options{
		ServerArgs: []string{"--disable-agent"}, NoJoin: true, Bare: bare,
		BeforeStart: func(h *lab.Host) {
			cluster.Must(t, h.WriteFile("/var/lib/kedge/agent/images/traffic.tar", archive, 0o644))
		},
	})}
	b.Peer, b.Program = b.Lab.Host("peer"), parts.program
	b.startPeer(t)
	for i, e := range edges {
		if !e.Bare {
			b.join(t, hostName(i), e)
		}
		if e.Line > 0 {
			site := b.Lab.Site("site" + strconv.Itoa(i+1))
			cluster.Must(t, site.Uplink.Slow(e.Line, cmp.Or(e.Queue, 100*time.Millisecond)))
		}
	}
	b.WaitNodes(t)
	return b
}

// startPeer starts the far ends.
func (b *Bed) startPeer(t testing.TB) {
	t.Helper()
	install(t, b.Peer, b.Program)
	startAt(t, b.Peer, echoControl, echoData)
	for i := range Iperfs {
		port := iperfBase + i
		_, err := b.Peer.Start("iperf3", append([]string{iperf3}, iperf.ServerArgs(port)...)...)
		cluster.Must(t, err)
	}
}

// program is where traffic is on hosts.
const program = "/usr/local/bin/traffic"

// install starts traffic as a process of the host.
func install(t testing.TB, h *lab.Host, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	cluster.Must(t, err)
	cluster.Must(t, os.WriteFile(h.OnDisk(program), text, 0o755))
	start(t, h)
}

// StartTraffic starts the traffic that is a process of the host again, after a loss of power.
func (b *Bed) StartTraffic(t testing.TB, h *lab.Host) {
	t.Helper()
	start(t, h)
}

func start(t testing.TB, h *lab.Host) {
	t.Helper()
	startAt(t, h, hostControl, hostData)
}

func startAt(t testing.TB, h *lab.Host, control, data int) {
	t.Helper()
	_, err := h.Start("traffic", program, "-control", fmt.Sprint(":", control), "-data", fmt.Sprint(":", data))
	cluster.Must(t, err)
}

func hostName(i int) string { return "edge" + strconv.Itoa(i+1) }

// topology is the laboratory for the edges, and which hosts run no kedge.
func topology(edges []Edge) (t lab.Topology, bare []string) {
	t = lab.ServerAndEdges(len(edges))
	t.Sites[0].Hosts = append(t.Sites[0].Hosts, "peer")
	bare = []string{"peer"}
	for i, e := range edges {
		t.Sites[i+1].Delay = e.Delay
		if e.Bare {
			bare = append(bare, hostName(i))
		}
	}
	return t, bare
}

func (b *Bed) join(t testing.TB, name string, e Edge) {
	t.Helper()
	n := b.Node(name)
	if e.Uplink != "" {
		n.Args = append(n.Args, "--uplink", Device+"="+e.Uplink)
	}
	n.Args = append(n.Args, e.Args...)
	b.Cluster.Join(t, n)
	install(t, n.Host, b.Program)
}

// Far is the data address of the far end.
func (b *Bed) Far() string { return net.JoinHostPort(b.Peer.IP(), strconv.Itoa(hostData)) }

// FarEcho is the data address of a far end that nothing else should use.
func (b *Bed) FarEcho() string { return net.JoinHostPort(b.Peer.IP(), strconv.Itoa(echoData)) }

// Write writes what was found beside the logs of the hosts.
func (b *Bed) Write(t testing.TB, name, text string) {
	t.Helper()
	cluster.Must(t, os.WriteFile(filepath.Join(b.Lab.Out(), name), []byte(text), 0o644))
}
