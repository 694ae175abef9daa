package tunnel_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/mux"
)

// flood is a target that always has more to say.
type flood struct {
	net.Conn // nil: nothing else is used
	once     sync.Once
	closed   chan struct{}
}

func newFlood() *flood { return &flood{closed: make(chan struct{})} }

func (f *flood) Read(b []byte) (int, error) {
	select {
	case <-f.closed:
		return 0, net.ErrClosed
	default:
		return len(b), nil
	}
}

func (f *flood) Write([]byte) (int, error) {
	<-f.closed
	return 0, net.ErrClosed
}

func (f *flood) Close() error                     { f.once.Do(func() { close(f.closed) }); return nil }
func (f *flood) SetDeadline(time.Time) error      { return nil }
func (f *flood) SetReadDeadline(time.Time) error  { return nil }
func (f *flood) SetWriteDeadline(time.Time) error { return nil }

// patient sessions are not given up while a test keeps the processors busy.
var patient = mux.Config{Silence: time.Minute, MaxSilence: time.Minute}

// floodingNode takes every stream, sends without end on each and never reads.
func floodingNode(t *testing.T, a *authority, srv *server, name string) {
	t.Helper()
	evil := newRogue(t, a, name, srv.addr)
	evil.cfg.Silence = time.Minute
	session, err := evil.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := evil.lane(t, evil.grantCopy(t), tunnel.LaneInteractive, 0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := patient
	cfg.MaxStreams = 1 << 20
	cfg.Dial = func(context.Context, tunnel.Target) (net.Conn, error) { return newFlood(), nil }
	m := mux.New(true, cfg)
	if _, err := m.Attach(tunnel.LaneInteractive, 0, conn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Close(errors.New("over"))
		<-m.Done()
		session.Close(errors.New("over"))
		<-session.Done()
	})
}

func TestFloodingNodeStaysWithinItsCapAtTheHub(t *testing.T) {
	const limit = 8 << 20
	streams := 10_000
	if testing.Short() {
		streams = 1000
	}
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) {
		c.Session.Silence = time.Minute
		c.Lanes = patient
		c.Lanes.MaxStreams, c.Lanes.MaxBuffered = streams, limit
	})
	good := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	good.Session.Silence, good.Lanes = time.Minute, patient
	waitLane(t, srv, startNode(t, good), tunnel.LaneInteractive)
	open := dial(t, srv.hub, "edge-1", addr)
	floodingNode(t, a, srv, "edge-2")
	eventually(t, "the lane of the flooding node", func() bool {
		st := srv.hub.Status()
		return len(st) == 2 && streamsOn(st[1], tunnel.LaneInteractive) == 0 && len(st[1].Lanes) == 2
	})

	before := takeFootprint(t)
	conns := make([]net.Conn, streams)
	var wg sync.WaitGroup
	for first := range 32 {
		wg.Go(func() {
			for i := first; i < streams; i += 32 {
				var err error
				if conns[i], err = srv.hub.DialNode(t.Context(), "edge-2", "tcp", "10.42.0.2:80"); err != nil {
					t.Errorf("stream %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if _, err := srv.hub.DialNode(t.Context(), "edge-2", "tcp", "10.42.0.2:80"); err == nil {
		t.Error("a stream beyond the limit was opened")
	}
	in := int64(-1)
	eventually(t, "the flood to come to a stand", func() bool {
		last := in
		in = srv.hub.Status()[1].BytesIn
		mustRoundTrip(t, open)
		return in == last && in > limit/2
	})
	// A window for each would be 2.5 GB; the streams themselves, of both ends,
	// are some 10 kB each with their goroutines.
	if now := takeFootprint(t); now.heap > before.heap+4*limit+int64(streams)*10<<10 {
		t.Errorf("%d streams hold %d MB", streams, (now.heap-before.heap)>>20)
	}
	for i := range 10 { // whoever is read goes on
		if _, err := io.CopyN(io.Discard, conns[i], 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	mustRoundTrip(t, open)
	for _, c := range conns {
		_ = c.Close()
	}
	// The runtime keeps what describes a goroutine, half a kB, for the next one.
	eventually(t, "the memory to be given back", func() bool {
		return srv.hub.Status()[1].Streams == 0 && takeFootprint(t).heap < before.heap+int64(streams)*3<<10
	})
}

func TestGarbageOnALaneEndsThatLaneOnly(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	waitLane(t, srv, startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)), tunnel.LaneInteractive)
	open := dial(t, srv.hub, "edge-1", addr)
	before := takeFootprint(t)
	random := rand.New(rand.NewPCG(5, 8))
	for _, size := range []int{1, 100, 1 << 10, 1 << 20, 8 << 20} {
		evil := newRogue(t, a, "edge-2", srv.addr)
		session, err := evil.connect(t, false)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := evil.lane(t, evil.grantCopy(t), tunnel.LaneInteractive, 0)
		if err != nil {
			t.Fatal(err)
		}
		garbage := make([]byte, size)
		for i := range garbage {
			garbage[i] = byte(random.Uint32())
		}
		_, _ = conn.Write(garbage)
		// A single byte may be the beginning of a frame: silence ends it.
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d bytes of garbage: the lane goes on", size)
		}
		mustRoundTrip(t, open)
		session.Close(errors.New("over"))
		<-session.Done()
	}
	eventually(t, "what was received to be given back", func() bool { return takeFootprint(t).heap < before.heap+1<<20 })
}
